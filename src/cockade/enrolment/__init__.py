"""Enrolling customers in badges that need it, and revoking that. Owner of the ledger of enrolments."""
