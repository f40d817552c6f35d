"""How often one may guess, and how often one may call."""
