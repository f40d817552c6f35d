"""Taking back all that one request gave."""
