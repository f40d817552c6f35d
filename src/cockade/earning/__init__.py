"""Issuing badges to customers. Owner of the ledger."""
