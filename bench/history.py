"""Badges and earned badges that are there before the clock starts, made by the database itself."""

from __future__ import annotations

from cockade.storage.sql import load
from tests.acceptance.service import query

SQL = load(__package__)
HELD_FROM = 10_000_000
HELD_SPACE = 4_999_999
"""Customers who have badges are among so many, from there on; a prime, so that a badge meets nobody twice."""
REQUESTS_PER_BADGE = 2
"""Audiences of a badge lie in between each other, as those of campaigns do."""


def multiply_badge(url: str, badge_id: str, copies: int) -> list[str]:
    """So many more badges like this one, claimed as it is."""
    made = [row[0] for row in query(url, SQL["copy_badges"], badge_id, copies)]
    query(url, SQL["copy_claims"], badge_id, made)
    query(url, SQL["analyze_badges"])
    return made


def issue_long_ago(url: str, badge_ids: list[str], rows: int) -> None:
    """So many earned badges, the same number of each badge, of customers who are all over the place."""
    per_request = rows // len(badge_ids) // REQUESTS_PER_BADGE
    for badge_id in badge_ids:
        for number in range(REQUESTS_PER_BADGE):
            begin = number * per_request
            query(url, SQL["issue_long_ago"], badge_id, begin, begin + per_request - 1, HELD_FROM, HELD_SPACE)
        query(url, SQL["count_long_ago"], badge_id, REQUESTS_PER_BADGE * per_request)
    query(url, SQL["vacuum_ledger"])


def forget(url: str) -> None:
    """Empty the ledger, as if nothing had ever been in it."""
    query(url, SQL["forget"])
