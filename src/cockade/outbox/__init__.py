"""Transactional outbox. Each change writes its outbox row in its own transaction; events are created from
these rows.
"""
