"""Idempotency keys: stored responses, so that a retry gets the same response."""
