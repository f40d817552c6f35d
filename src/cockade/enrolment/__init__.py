"""Enrolment of customers in badges that need it. Owner of the ledger of enrolments."""
