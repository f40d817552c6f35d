"""Webhooks: managing them, delivering events, and the delivery log."""
