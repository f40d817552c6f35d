"""Webhooks: addresses of an org that its events are delivered to."""
