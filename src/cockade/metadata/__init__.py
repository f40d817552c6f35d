"""Metadata of badges: groups, custom fields, and the tag definitions of the org meta."""
