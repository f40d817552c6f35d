"""Identifiers that can be used instead of a customer id."""
