"""Badges: window, expiry rules, owners and claims, constraints, activation."""
