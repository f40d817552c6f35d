"""Ids of earned badges and badges: their parts, and parsing."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from cockade import ids
from cockade.ids import RequestKey

IN_2040 = int(datetime(2040, 6, 1, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("unix_seconds", "sequence", "line", "expected"),
    [
        (0, 0, 0, "000000000000000000000000"),
        (0x661681A5, 0x35BC684E, 0x9E72553A, "661681a535bc684e9e72553a"),
        (0x7FFFFFFF, 0xFFFFFFFF, 1, "7fffffffffffffff00000001"),
        (0x80000000, 0, 2, "800000000000000000000002"),
        (IN_2040, 7, 99_999, f"{IN_2040:08x}000000070001869f"),
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, "f" * 24),
    ],
)
def test_earned_badge_id_is_seconds_sequence_and_line(
    unix_seconds: int, sequence: int, line: int, expected: str
) -> None:
    key = ids.request_key(unix_seconds, sequence)
    assert -(2**63) <= key < 2**63
    assert ids.earned_badge_id(key, line) == expected
    assert ids.earned_badge_place(expected) == (key, line)
    assert ids.earned_badge_place(expected.upper()) == (key, line)


def test_keys_from_2038_on_are_negative_and_distinct() -> None:
    assert ids.request_key(0x7FFFFFFF, 0) > 0
    assert ids.request_key(0x80000000, 0) == -(2**63)
    assert ids.request_key(IN_2040, 1) < 0


def test_ids_of_a_request_are_those_of_its_lines() -> None:
    key = ids.request_key(IN_2040, 5)
    assert ids.earned_badge_ids(key, 300) == [ids.earned_badge_id(key, line) for line in range(300)]
    assert ids.earned_badge_ids(key, 0) == []


@pytest.mark.parametrize(
    "text", ["", "661681a535bc684e9e72553", "661681a535bc684e9e72553ag", "g" * 24, "1" * 25]
)
def test_text_without_24_hex_digits_is_not_an_id(text: str) -> None:
    assert ids.badge_id(text) is None
    assert ids.earned_badge_place(text) is None


@pytest.mark.parametrize("text", ["a" * 24 + "\n", " " + "a" * 23, "٣" * 24])
def test_text_that_resembles_24_hex_digits_is_not_an_id(text: str) -> None:
    assert ids.badge_id(text) is None
    assert ids.earned_badge_place(text) is None


def test_upper_case_badge_id_is_folded() -> None:
    assert ids.badge_id("653DE334B3CDA7078C7C68EB") == "653de334b3cda7078c7c68eb"


def test_new_id_is_time_and_random_bytes() -> None:
    assert ids.new_id(0x653DE334, bytes.fromhex("b3cda7078c7c68eb")) == "653de334b3cda7078c7c68eb"
    assert ids.new_id(IN_2040, bytes(8)) == f"{IN_2040:08x}{'0' * 16}"
    assert ids.badge_id(ids.new_id(2**32 + 5, bytes(8))) == "00000005" + "0" * 16


def test_key_from_the_database_gives_the_same_id() -> None:
    assert ids.earned_badge_id(RequestKey(-1), 0) == "ffffffffffffffff00000000"
