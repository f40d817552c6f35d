"""The number of statements of an earnBulk does not depend on the number of customers: counted from the server's log."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Generator
from pathlib import Path

import httpx
import pytest

from tests.acceptance.service import Service, earn_bulk, make_badge, query, running

STATEMENT = re.compile(r"^\S+ \S+ \S+ \[(\d+)\] LOG:  (?:statement|execute [^:]*): (.*)$", re.MULTILINE)
FEW, MANY = 2, 10_000


@pytest.fixture
def logging_service(home: Path) -> Generator[Service]:
    """A service of one worker, whose database writes down every statement."""
    with running(Service(home)) as service:
        query(service.database_url, "alter system set log_statement = 'all'")
        query(service.database_url, "select pg_reload_conf()")
        yield service


def _statements(service: Service, call: Callable[[], httpx.Response]) -> list[str]:
    """What the server was asked during the call, by others than ourselves."""
    marks = [uuid.uuid4().hex, uuid.uuid4().hex]
    query(service.database_url, f"select '{marks[0]}'")
    answer = call()
    assert answer.status_code == 200, answer.text
    query(service.database_url, f"select '{marks[1]}'")
    asked = STATEMENT.findall((service.data_dir / "postgres.log").read_text())
    first, last = (next(place for place, (_, sql) in enumerate(asked) if mark in sql) for mark in marks)
    own = {asked[first][0], asked[last][0]}
    return [sql for pid, sql in asked[first:last] if pid not in own]


def test_one_customer_and_ten_thousand_take_the_same_number_of_statements(
    logging_service: Service, record_property: Callable[[str, object], None]
) -> None:
    shown = logging_service.first_credential()
    with logging_service.client(shown["username"], shown["secret"]) as client:
        badge_id = make_badge(client)
        # The worker has seen the credential and has its connection before anything is counted.
        assert earn_bulk(client, badge_id, [1]).status_code == 200
        first, counts = 2, dict[str, int]()
        for held, size in ((0, 1), (0, MANY), (1, 1), (MANY, MANY), (FEW // 2, FEW), (MANY // 2, MANY)):
            if held:
                assert earn_bulk(client, badge_id, range(first, first + held)).status_code == 200
            asked = _statements(
                logging_service,
                lambda audience=range(first, first + size): earn_bulk(client, badge_id, audience),
            )
            assert (asked[0], asked[-1]) == ("BEGIN", "COMMIT"), asked
            counts[f"{held} of {size} held"] = len(asked)
            first += size
    assert len(counts) == 6
    assert len(set(counts.values())) == 1, counts
    record_property("statements of an earnBulk, BEGIN and COMMIT included", set(counts.values()).pop())
