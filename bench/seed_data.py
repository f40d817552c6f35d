"""Seed data: badges and earned badges that the database generates before a measurement starts."""

from __future__ import annotations

from cockade.storage.sql import load
from tests.acceptance.service import query

SQL = load(__package__)
FIRST_HOLDER = 10_000_000
HOLDER_COUNT = 4_999_999
"""Holders have ids from FIRST_HOLDER on. The count is prime, so that no customer gets the same badge twice."""
REQUESTS_PER_BADGE = 2
"""The customer ids of different requests interleave, as they do in real campaigns."""


def copy_badge(url: str, badge_id: str, copies: int) -> list[str]:
    """Create copies of a badge and of its claims. Return the ids of the copies."""
    badge_ids = [row[0] for row in query(url, SQL["copy_badges"], badge_id, copies)]
    query(url, SQL["copy_claims"], badge_id, badge_ids)
    query(url, SQL["analyze_badges"])
    return badge_ids


def insert_earned_badges(url: str, badge_ids: list[str], rows: int) -> None:
    """Insert earned badges, the same number for each badge, for customers spread over all holder ids."""
    per_request = rows // len(badge_ids) // REQUESTS_PER_BADGE
    for badge_id in badge_ids:
        for number in range(REQUESTS_PER_BADGE):
            first = number * per_request
            last = first + per_request - 1
            query(url, SQL["insert_past_request"], badge_id, first, last, FIRST_HOLDER, HOLDER_COUNT)
        query(url, SQL["insert_badge_count"], badge_id, REQUESTS_PER_BADGE * per_request)
    query(url, SQL["vacuum_earned_badges"])


def delete_earned_badges(url: str) -> None:
    """Empty the tables of requests and earned badges."""
    query(url, SQL["truncate_earned_badges"])
