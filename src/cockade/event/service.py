"""The feed of events: assign positions to what happened, and read it.

A request or revocation writes one outbox row in its own transaction. The expiry of what it issued gets one
more row, written when it is due by the process that assigns positions. After the commit, the row gets its
position from one process at a time. So a reader that has read up to a position has read everything up to it,
even if some transaction commits late. Events of customers are derived from the stored request when they are
read.
"""

from __future__ import annotations

from datetime import timedelta

from cockade.clock import Clock
from cockade.event import rules, store
from cockade.event.model import (
    LAST_LINE,
    AnyEvent,
    Cursor,
    EventFilter,
    EventSource,
    ExpiredBadges,
    FeedEntry,
    FeedPage,
    FinishedJob,
    IssuedChunk,
    OutboxRow,
    Revocation,
)
from cockade.ids import OrgId
from cockade.outbox import store as outbox_store
from cockade.request import store as request_store
from cockade.request.model import ImportOutcome, RequestOutcome
from cockade.storage.database import Database, Tx

PLACED_AT_ONCE = 10_000
SOURCES_AT_ONCE = 100
"""Maximum number of sources per page. A large source is read in parts."""
FORGOTTEN_AT_ONCE = 1_000
ENDED_AT_ONCE = 1_000
EVERYTHING = EventFilter()


class EventService:
    """Use cases of `event`."""

    def __init__(self, database: Database, clock: Clock, kept_days: int, request_timeout_s: int) -> None:
        self._database = database
        self._clock = clock
        self._kept = timedelta(days=kept_days)
        # A request that revokes a still valid issuance has ended by then, so a reported expiry never changes.
        self._settled = timedelta(seconds=request_timeout_s)

    async def assign_positions(self) -> int:
        """Assign positions to all committed rows without one, and to expiries. Return the number assigned.

        Returns 0 if another process is doing it.
        """

        async def body(tx: Tx) -> int:
            # The next statement has its own snapshot, so it sees the rows of the previous holder of the lock.
            if not await outbox_store.try_lock(tx):
                return 0
            now = self._clock()
            await outbox_store.enqueue_expiries(tx, now - self._settled, now, ENDED_AT_ONCE)
            return await outbox_store.assign_positions(tx, PLACED_AT_ONCE)

        placed = 0
        while count := await self._database.transaction("event.assign_positions", body):
            placed += count
        return placed

    async def delete_expired(self) -> int:
        """Delete rows that are older than the retention time, in small batches per org. Return the number
        deleted.
        """
        before, forgotten = self._clock() - self._kept, 0
        while count := await self._database.transaction(
            "event.cleanup", lambda tx: outbox_store.delete_old_rows(tx, before, FORGOTTEN_AT_ONCE)
        ):
            forgotten += count
        return forgotten

    async def find_end(self, org_id: OrgId) -> Cursor:
        """Return the current end of the org's feed. Later events come after it."""
        return await self._database.transaction("event.find_end", lambda tx: store.find_end(tx, org_id))

    async def read(
        self, org_id: OrgId, after: Cursor, count: int, wanted: EventFilter = EVERYTHING
    ) -> FeedPage:
        """Return up to `count` events in order, starting after `after`.

        A page can have fewer events, or none, although more follow.
        """

        async def body(tx: Tx) -> FeedPage:
            first = after.position + (1 if after.line == LAST_LINE else 0)
            # One more than needed, to see whether there is more.
            sources = await store.list_sources(tx, org_id, first, SOURCES_AT_ONCE + 1)
            has_more = len(sources) > SOURCES_AT_ONCE
            near = rules.nearest(sources[:SOURCES_AT_ONCE], wanted, count)
            loaded = await _load(tx, org_id, near)
            entries: list[FeedEntry] = []
            end = after
            for source in sources[:SOURCES_AT_ONCE]:
                if len(entries) == count or (near and source.position > near[-1].position):
                    return FeedPage(entries, end, has_more=True)
                begin = after.line + 1 if source.position == after.position else 0
                told = loaded.get(source.position)
                if told is not None:
                    found, reached = await _expand(tx, source, told, begin, count - len(entries), wanted)
                    entries += found
                    if reached is not None:
                        return FeedPage(entries, Cursor(source.position, reached), has_more=True)
                end = Cursor(source.position, LAST_LINE)
            return FeedPage(entries, end, has_more)

        return await self._database.transaction("event.read", body)


async def _load(tx: Tx, org_id: OrgId, sources: list[OutboxRow]) -> dict[int, EventSource]:
    """Return the sources by position, in a fixed number of statements, except for imports."""
    keys = [source.request_key for source in sources if source.kind is not None and source.part is None]
    outcomes = {told.request_key: told for told in await request_store.find_by_keys(tx, org_id, keys)}
    found: dict[int, EventSource] = {
        source.position: outcome
        for source in sources
        if isinstance(outcome := outcomes.get(source.request_key), RequestOutcome | ImportOutcome)
    }
    if revocations := [source.position for source in sources if source.kind is None]:
        found |= await store.find_revocations(tx, org_id, revocations)
    if parts := [source.position for source in sources if source.part is not None]:
        found |= await store.find_parts(tx, org_id, parts)
        found |= await store.find_finished_jobs(tx, org_id, parts)
    for source in sources:
        of = found.get(source.position)
        if source.end is not None and isinstance(of, RequestOutcome | ImportOutcome | IssuedChunk):
            found[source.position] = ExpiredBadges(end=source.end, of=of)
    return found


async def _expand(
    tx: Tx, source: OutboxRow, told: EventSource, begin: int, room: int, wanted: EventFilter
) -> tuple[list[FeedEntry], int | None]:
    """Return its first matching events from this line on, and the line where it stopped, or None at its end."""
    are_wanted = rules.are_lines_wanted(source, wanted)
    lines = rules.told_lines(told, begin, room + 1, wanted) if are_wanted else []
    events = await _line_events(tx, told, lines[:room])
    entries = [FeedEntry(Cursor(source.position, line), event) for line, event in events]
    if len(lines) > room:
        return entries, lines[room - 1]
    if rules.is_whole_wanted(source, wanted) and not isinstance(
        told, Revocation | IssuedChunk | ExpiredBadges
    ):
        if len(lines) == room:
            return entries, lines[-1]
        if rules.is_of(told, wanted.badge_ids):
            entries.append(FeedEntry(Cursor(source.position, LAST_LINE), rules.whole_event(told)))
    return entries, None


async def _line_events(tx: Tx, told: EventSource, lines: list[int]) -> list[tuple[int, AnyEvent]]:
    match told:
        case RequestOutcome() | Revocation():
            return [(line, rules.line_event(told, line)) for line in lines]
        case ImportOutcome() | IssuedChunk():
            asked = rules.in_ledger(told, lines)
            validities = await store.list_validities(tx, told.request_key, asked)
            return [
                (line, rules.read_event(told, line, validities[place[2]]))
                for line, place in zip(lines, asked, strict=True)
                if place[2] in validities
            ]
        case ExpiredBadges(end=end, of=of):
            asked = rules.in_ledger(of, lines)
            ended = await store.list_ended(tx, of.request_key, asked, end.since, end.until)
            return [
                (line, rules.ended_event(told, line, ended[place[2]]))
                for line, place in zip(lines, asked, strict=True)
                if place[2] in ended
            ]
        case FinishedJob():
            return []
