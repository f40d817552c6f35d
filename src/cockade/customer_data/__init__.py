"""Erasing and merging customers: the only operations that change past results of requests."""
