"""Normalization of identifiers, and parsing of customer ids."""

from __future__ import annotations

import pytest

from cockade import ids
from cockade.customer.model import IdentifierKind
from cockade.customer.rules import identifier

EMAIL, MOBILE, EXTERNAL_ID, CARD_NUMBER = IdentifierKind


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        (EMAIL, "a@example.org", "a@example.org"),
        (EMAIL, " A@Example.ORG\t\n", "a@example.org"),
        (EMAIL, "Jürgen.ÄÖ@example.org", "jürgen.äö@example.org"),
        (EMAIL, "a b@example.org", "a b@example.org"),
        (MOBILE, " +49 170 123 ", "+49 170 123"),
        (MOBILE, "0049170123", "0049170123"),
        (EXTERNAL_ID, " Ab-1 ", "Ab-1"),
        (CARD_NUMBER, "4000 0012", "4000 0012"),
        (CARD_NUMBER, "ABC", "ABC"),
        (EXTERNAL_ID, " \u00a0 ", ""),
    ],
)
def test_identifier_is_trimmed_and_emails_are_lower_case(
    kind: IdentifierKind, text: str, expected: str
) -> None:
    assert identifier(kind, text).value == expected


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (1, 1),
        ("1", 1),
        ("007", 7),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        (0, None),
        ("0", None),
        (-1, None),
        (2**63, None),
        (str(2**63), None),
        ("", None),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("1\n", None),
        ("1.0", None),
        ("٣", None),
        ("1" * 5000, None),
    ],
)
def test_customer_id_is_a_positive_63_bit_number_or_its_digits(sent: int | str, expected: int | None) -> None:
    assert ids.customer_id(sent) == expected
