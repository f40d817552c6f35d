"""Issuing badges to customers: the heart, and the owner of the ledger."""
