"""Events: the feed of what happened, in a stable order."""
