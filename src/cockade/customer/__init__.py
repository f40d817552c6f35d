"""Customer identifiers: names such as an email address that callers use instead of customer ids."""
