"""Undo: revoke everything that one request issued."""
