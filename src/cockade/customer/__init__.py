"""What callers may name a customer by instead of her id."""
