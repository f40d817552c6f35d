"""House rules as tests: each rule finds its own violations, in the house and in a bad sample."""
