"""What badges are sorted and described by: groups, custom fields, and the tag definitions of the org meta."""
