"""Rate limits per credential."""
