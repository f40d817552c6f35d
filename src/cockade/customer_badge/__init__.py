"""Read-only queries: badges of a customer, holders of a badge, explanations of decisions, window cycles."""
