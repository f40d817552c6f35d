"""One module per resource: its wire structs, and its handlers."""
