"""Webhooks: URLs to which an org's events are delivered."""
