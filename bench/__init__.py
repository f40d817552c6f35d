"""How fast cockade is, beside yardsticks that are measured in the same run: `python -m bench --help`."""
