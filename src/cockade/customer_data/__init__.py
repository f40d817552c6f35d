"""Erasing customers and merging two: all that ever changes what was decided."""
