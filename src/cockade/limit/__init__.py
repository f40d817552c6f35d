"""Limits on earning: windows, cycles, counting and deciding. Owns the counters of badge limits."""
