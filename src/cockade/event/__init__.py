"""What is told of what happened: the feed of events, in an order that never changes."""
