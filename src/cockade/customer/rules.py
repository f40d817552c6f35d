"""Pure rules for identifiers (`docs/reference/api/customers.md`)."""

from __future__ import annotations

from cockade.customer.model import Identifier, IdentifierKind


def identifier(kind: IdentifierKind, text: str) -> Identifier:
    """Normalize an identifier: no surrounding whitespace, emails in lower case."""
    value = text.strip()
    return Identifier(kind, value.lower() if kind is IdentifierKind.EMAIL else value)
