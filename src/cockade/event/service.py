"""Event feed: assign positions to events and read them.

A request or revocation writes one outbox row in its own transaction. When validities end, the process that
assigns positions writes one more row for the request that had issued them. After the commit, the row gets its
position. Only one process at a time assigns positions, so a reader that has read up to a position has read
everything up to it: a transaction that commits later gets a later position. Events of customers are created
from the stored request when they are read.
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

POSITIONS_PER_TRANSACTION = 10_000
ROWS_PER_PAGE = 100
"""Maximum number of outbox rows per page. Large requests are read in several pages."""
DELETED_PER_TRANSACTION = 1_000
EXPIRIES_PER_TRANSACTION = 1_000
ALL_EVENTS = EventFilter()


class EventService:
    """Assign positions to events, read them, and delete old ones."""

    def __init__(self, database: Database, clock: Clock, kept_days: int, request_timeout_s: int) -> None:
        self._database = database
        self._clock = clock
        self._retention = timedelta(days=kept_days)
        # A request that revokes a badge before it expires has finished after this delay, so a published
        # expiry never changes.
        self._expiry_delay = timedelta(seconds=request_timeout_s)

    async def assign_positions(self) -> int:
        """Assign positions to committed outbox rows and to expiries. Return how many were assigned.

        Returns 0 if another process is doing it.
        """

        async def body(tx: Tx) -> int:
            # The next statement has a new snapshot, so it sees the positions assigned by the previous lock
            # holder.
            if not await outbox_store.try_lock(tx):
                return 0
            now = self._clock()
            await outbox_store.enqueue_expiries(tx, now - self._expiry_delay, now, EXPIRIES_PER_TRANSACTION)
            return await outbox_store.assign_positions(tx, POSITIONS_PER_TRANSACTION)

        assigned = 0
        while count := await self._database.transaction("event.assign_positions", body):
            assigned += count
        return assigned

    async def delete_expired(self) -> int:
        """Delete rows that exceed the retention period, in small batches per org. Return how many were
        deleted.
        """
        before, deleted = self._clock() - self._retention, 0
        while count := await self._database.transaction(
            "event.cleanup", lambda tx: outbox_store.delete_old_rows(tx, before, DELETED_PER_TRANSACTION)
        ):
            deleted += count
        return deleted

    async def find_end(self, org_id: OrgId) -> Cursor:
        """Return the current end of the org's feed. Later events follow it."""
        return await self._database.transaction("event.find_end", lambda tx: store.find_end(tx, org_id))

    async def read(
        self, org_id: OrgId, after: Cursor, count: int, event_filter: EventFilter = ALL_EVENTS
    ) -> FeedPage:
        """Return at most `count` events after the cursor `after`, in order.

        A page may have fewer events, or none, even if there are more.
        """

        async def body(tx: Tx) -> FeedPage:
            first = after.position + (1 if after.line == LAST_LINE else 0)
            # One extra row shows whether there are more.
            rows = await store.list_outbox_rows(tx, org_id, first, ROWS_PER_PAGE + 1)
            has_more = len(rows) > ROWS_PER_PAGE
            selected = rules.select_rows(rows[:ROWS_PER_PAGE], event_filter, count)
            loaded = await _load_sources(tx, org_id, selected)
            entries: list[FeedEntry] = []
            end = after
            for row in rows[:ROWS_PER_PAGE]:
                if len(entries) == count or (selected and row.position > selected[-1].position):
                    return FeedPage(entries, end, has_more=True)
                begin = after.line + 1 if row.position == after.position else 0
                source = loaded.get(row.position)
                if source is not None:
                    found, reached = await _expand(tx, row, source, begin, count - len(entries), event_filter)
                    entries += found
                    if reached is not None:
                        return FeedPage(entries, Cursor(row.position, reached), has_more=True)
                end = Cursor(row.position, LAST_LINE)
            return FeedPage(entries, end, has_more)

        return await self._database.transaction("event.read", body)


async def _load_sources(tx: Tx, org_id: OrgId, rows: list[OutboxRow]) -> dict[int, EventSource]:
    """Return what the rows refer to, by position, in a fixed number of statements (imports: one more each)."""
    keys = [row.request_key for row in rows if row.kind is not None and row.chunk is None]
    outcomes = {source.request_key: source for source in await request_store.find_by_keys(tx, org_id, keys)}
    found: dict[int, EventSource] = {
        row.position: outcome
        for row in rows
        if isinstance(outcome := outcomes.get(row.request_key), RequestOutcome | ImportOutcome)
    }
    if revocations := [row.position for row in rows if row.kind is None]:
        found |= await store.find_revocations(tx, org_id, revocations)
    if chunks := [row.position for row in rows if row.chunk is not None]:
        found |= await store.find_issued_chunks(tx, org_id, chunks)
        found |= await store.find_finished_jobs(tx, org_id, chunks)
    for row in rows:
        issued = found.get(row.position)
        if row.expiry_range is not None and isinstance(issued, RequestOutcome | ImportOutcome | IssuedChunk):
            found[row.position] = ExpiredBadges(expiry_range=row.expiry_range, source=issued)
    return found


async def _expand(
    tx: Tx, row: OutboxRow, source: EventSource, begin: int, limit: int, event_filter: EventFilter
) -> tuple[list[FeedEntry], int | None]:
    """Return at most `limit` matching entries from line `begin` on, and the last line read. None: the row was
    read completely.
    """
    are_wanted = rules.may_match_customers(row, event_filter)
    lines = rules.event_lines(source, begin, limit + 1, event_filter) if are_wanted else []
    events = await _customer_events(tx, source, lines[:limit])
    entries = [FeedEntry(Cursor(row.position, line), event) for line, event in events]
    if len(lines) > limit:
        return entries, lines[limit - 1]
    if rules.may_match_batch(row, event_filter) and not isinstance(
        source, Revocation | IssuedChunk | ExpiredBadges
    ):
        if len(lines) == limit:
            return entries, lines[-1]
        if rules.is_about(source, event_filter.badge_ids):
            entries.append(FeedEntry(Cursor(row.position, LAST_LINE), rules.batch_event(source)))
    return entries, None


async def _customer_events(tx: Tx, source: EventSource, lines: list[int]) -> list[tuple[int, AnyEvent]]:
    match source:
        case RequestOutcome() | Revocation():
            return [(line, rules.customer_event(source, line)) for line in lines]
        case ImportOutcome() | IssuedChunk():
            keys = rules.ledger_keys(source, lines)
            validities = await store.list_validities(tx, source.request_key, keys)
            return [
                (line, rules.earned_event(source, line, validities[key[2]]))
                for line, key in zip(lines, keys, strict=True)
                if key[2] in validities
            ]
        case ExpiredBadges(expiry_range=expiry_range, source=issued):
            keys = rules.ledger_keys(issued, lines)
            expired = await store.list_expired(
                tx, issued.request_key, keys, expiry_range.since, expiry_range.until
            )
            return [
                (line, rules.expired_event(source, line, expired[key[2]]))
                for line, key in zip(lines, keys, strict=True)
                if key[2] in expired
            ]
        case FinishedJob():
            return []
