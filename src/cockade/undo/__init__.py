"""Undo of a request or job: revokes everything that it issued."""
