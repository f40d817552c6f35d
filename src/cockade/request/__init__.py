"""Request ids and the stored outcomes of requests."""
