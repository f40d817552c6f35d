"""The event feed: what happened to the badges of customers, in an order that never changes."""
