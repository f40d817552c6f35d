"""Jobs: issue a badge to the customers in a file."""
