"""Who changed what, and when: written with each change, and never changed itself."""
