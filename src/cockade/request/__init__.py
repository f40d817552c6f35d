"""Request ids and their stored outcomes: the memory of what was asked."""
