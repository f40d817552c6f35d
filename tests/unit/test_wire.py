"""Basic credentials, pagination, and the error envelope."""

from __future__ import annotations

import base64

import msgspec
import pytest

from cockade.api.authentication import read_basic
from cockade.errors import FieldError, NotAuthenticated
from cockade.http.envelope import Pagination, error_envelope, paginate


def proof(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (proof("name:secret"), ("name", "secret")),
        (proof("name:"), ("name", "")),
        (proof(":secret"), ("", "secret")),
        (proof("name:with:colons"), ("name", "with:colons")),
        (proof("jürgen:geheimß"), ("jürgen", "geheimß")),
    ],
)
def test_basic_credentials_are_username_and_secret(header: str, expected: tuple[str, str]) -> None:
    assert read_basic(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "name:secret",
        proof("no colon"),
        proof("na\0me:secret"),
        proof("name:secret")[:-1],
        "=" + proof("name:secret"),
        proof("name:secret") + "!",
        base64.b64encode(b"\xff:\xff").decode(),
        "é",
    ],
)
def test_malformed_basic_credentials_are_rejected(header: str) -> None:
    with pytest.raises(NotAuthenticated, match="not the base64 encoding of username:secret"):
        read_basic(header)


@pytest.mark.parametrize(
    ("page", "size", "total", "expected"), [(0, 10, 0, 0), (0, 10, 10, 1), (3, 10, 11, 2), (0, 1, 5, 5)]
)
def test_last_page_can_be_shorter(page: int, size: int, total: int, expected: int) -> None:
    assert paginate(page, size, total) == Pagination(page, size, total, expected)


def test_failure_has_null_data_and_null_warnings() -> None:
    assert msgspec.json.decode(
        msgspec.json.encode(error_envelope([FieldError(809, "No.", "requestId"), FieldError(400, "So.")]))
    ) == {
        "data": None,
        "errors": [
            {"code": 809, "message": "No.", "reference": "requestId"},
            {"code": 400, "message": "So.", "reference": None},
        ],
        "warnings": None,
    }
