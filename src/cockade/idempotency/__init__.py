"""Answers that are kept, so that the same call gets the same answer again."""
