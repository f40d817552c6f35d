"""Import badges that customers earned elsewhere, in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from cockade.auth.model import Caller
from cockade.badge import store as badge_store
from cockade.badge.model import BadgeCounts
from cockade.earning import rules, store
from cockade.earning.model import ImportRow, LedgerRow
from cockade.errors import FieldError
from cockade.ids import BadgeId, BadgeKey, CustomerId
from cockade.limit import rules as limit_rules
from cockade.limit import store as limit_store
from cockade.request.model import ImportOutcome
from cockade.request.service import Attempt, NeedsExclusiveLock
from cockade.storage.database import Tx

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FAILED_ROW = (
    BadgeKey(0),
    ImportRow(badge_id=None, customer=CustomerId(0), event_at=_EPOCH, valid_until=_EPOCH),
)
"""Stored in the outcome for a row that failed."""


async def import_rows(
    tx: Tx, caller: Caller, request_id: str, rows: Sequence[ImportRow | list[FieldError]], attempt: Attempt
) -> ImportOutcome:
    """Validate all rows and write the valid ones, in a fixed number of statements. Raises NeedsExclusiveLock."""
    badge_ids = {row.badge_id for row in rows if isinstance(row, ImportRow) and row.badge_id}
    locks = await badge_store.lock_many(tx, caller.org_id, badge_ids, exclusive=attempt.exclusive)
    terms = await badge_store.import_terms(tx, [lock.badge_key for lock in locks.values()])
    if any(terms[lock.badge_key].has_badge_limit and not lock.exclusive for lock in locks.values()):
        raise NeedsExclusiveLock
    valid, failures = rules.validate_import(rows, locks, attempt.now)
    windowed = {key for key, term in terms.items() if limit_rules.has_windows(term.customer_constraints)}
    ordinals = Counter(
        await store.find_last_ordinals_of_many(tx, {(key, row.customer) for _, key, row in valid})
    )
    ledger_rows: list[LedgerRow] = []
    for line, badge_key, row in valid:
        ordinals[badge_key, row.customer] += 1
        ledger_rows.append(
            LedgerRow(
                customer_id=row.customer,
                request_key=attempt.request_key,
                valid_from=row.event_at,
                valid_until=row.valid_until,
                counted_at=row.event_at if badge_key in windowed else None,
                badge_key=badge_key,
                ordinal=ordinals[badge_key, row.customer],
                line=line,
            )
        )
    ledger_rows.sort(key=lambda row: (row.badge_key, row.customer_id, row.ordinal))
    if ledger_rows:
        await store.insert_rows(tx, ledger_rows)
        limited = Counter(
            (row.badge_key, row.valid_from) for row in ledger_rows if terms[row.badge_key].has_badge_limit
        )
        if limited:
            await limit_store.add_counts(tx, limited)
        earned = Counter(row.badge_key for row in ledger_rows)
        await badge_store.add_counts(tx, {key: BadgeCounts(earned=count) for key, count in earned.items()})
    by_line = {line: (badge_key, row) for line, badge_key, row in valid}
    ids_of = {lock.badge_key: badge_id for badge_id, lock in locks.items()}
    lines = [by_line.get(line, _FAILED_ROW) for line in range(len(rows))]
    return ImportOutcome(
        request_id=request_id,
        request_key=attempt.request_key,
        completed_at=attempt.now,
        badge_keys=[badge_key for badge_key, _ in lines],
        badge_ids=[ids_of.get(badge_key, BadgeId("")) for badge_key, _ in lines],
        customer_ids=[row.customer for _, row in lines],
        valid_untils=[row.valid_until for _, row in lines],
        failures=failures,
    )
