"""Orgs, credentials, access groups and tokens: who is asking, and what may they do."""
