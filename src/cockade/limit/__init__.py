"""What limits on earning mean: windows, cycles, counting, deciding. Owner of the tally."""
