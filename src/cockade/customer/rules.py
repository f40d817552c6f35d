"""Pure rules of identifiers (`docs/reference/api/customers.md`)."""

from __future__ import annotations

from cockade.customer.model import Identifier, IdentifierKind


def identifier(kind: IdentifierKind, text: str) -> Identifier:
    """Return the normalized identifier: without surrounding whitespace, emails in lower case."""
    value = text.strip()
    return Identifier(kind, value.lower() if kind is IdentifierKind.EMAIL else value)
