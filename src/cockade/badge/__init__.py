"""The badge definition: window, expiry rules, owners and claims, constraints as data, activation."""
