"""Enrolling customers in badges that need it."""
