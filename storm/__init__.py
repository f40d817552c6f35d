"""The storm test: many callers, a saboteur, and a checker that believes nobody. docs/storm.md tells all."""
