"""Erase and merge customers: the only operations that change past decisions."""
