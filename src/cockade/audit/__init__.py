"""Audit trail: who changed what, and when. Entries are written with each change and never modified."""
