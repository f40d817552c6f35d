"""Orgs, credentials, access groups and tokens: authentication and authorization."""
