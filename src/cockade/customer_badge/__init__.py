"""Read-only views: the badges of a customer, the holders of a badge, and explanations of decisions."""
