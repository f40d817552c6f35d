"""What a customer holds, may earn and could enrol in; who holds a badge; why, or why not: read-only."""
