"""Transactional outbox: changes that events are derived from, written in the transaction of the change."""
