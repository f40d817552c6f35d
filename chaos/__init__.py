"""Chaos test: concurrent load, fault injection and an independent consistency checker.

See docs/explanation/chaos-testing.md.
"""
