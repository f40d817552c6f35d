"""The benchmark: cockade compared with baselines that are measured in the same run. See `python -m bench --help`."""
