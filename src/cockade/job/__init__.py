"""Jobs: audiences that come as files, and are worked through in the background."""
