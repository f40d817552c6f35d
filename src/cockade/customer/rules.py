"""Pure decisions about identifiers (`docs/api/customers.md`)."""

from __future__ import annotations

from cockade.customer.model import Identifier, IdentifierKind


def identifier(kind: IdentifierKind, text: str) -> Identifier:
    """The identifier that is written in `text`, whoever writes or asks: without surrounding blanks, emails in lower case."""
    value = text.strip()
    return Identifier(kind, value.lower() if kind is IdentifierKind.EMAIL else value)
