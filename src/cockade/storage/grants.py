"""What the role that serves may do in the database, and nothing beyond; migrations are run by the owner.

A new table gets its line here, or a test fails.
"""

from __future__ import annotations

from typing import cast

from cockade.errors import SetupError
from cockade.storage.connection import Connection
from cockade.storage.sql import load

SQL = load(__package__, "grants.sql")

SELECT_INSERT_UPDATE = ("select", "insert", "update")
"""The rights on a table whose rows come and change, and stay."""

GRANTS: dict[str, tuple[str, ...]] = {
    # access: orgs, credentials and keys are made by commands, which the owner runs
    "org": ("select", "update (name)"),  # an org is locked, and a lock asks for the right to change something
    "credential": ("select",),
    "signing_key": ("select", "insert"),  # the first one is made on demand
    # throttle
    "failed_login": ("select", "insert", "delete", "update (failed_at)"),  # likewise, for a lock
    "known_login_address": (*SELECT_INSERT_UPDATE, "delete"),
    "rate_limit_window": SELECT_INSERT_UPDATE,
    # badge
    "badge": SELECT_INSERT_UPDATE,
    "badge_claim": SELECT_INSERT_UPDATE,
    "badge_count": SELECT_INSERT_UPDATE,
    # request: ids that a refusal gives back are deleted in the transaction that took them
    "request": (*SELECT_INSERT_UPDATE, "delete"),
    "outbox": ("select", "insert", "update (position, customer_ids)", "delete"),  # for a time only
    "pending_expiry": ("select", "insert", "delete"),
    # earning and enrolment: an entry of a ledger is revoked, moved to another customer, or erased with its customer
    "earned_badge": ("select", "insert", "update (revoked_at, counted_at, customer_id, ordinal)", "delete"),
    "enrolment": ("select", "insert", "update (revoked_at, customer_id, ordinal)", "delete"),
    # limit
    "badge_limit_counter": (*SELECT_INSERT_UPDATE, "delete"),
    # catalogue
    "badge_group": SELECT_INSERT_UPDATE,
    "custom_field": SELECT_INSERT_UPDATE,
    "org_meta": SELECT_INSERT_UPDATE,
    # customer
    "customer_identifier": (*SELECT_INSERT_UPDATE, "delete"),
    # replay
    "idempotency_key": (*SELECT_INSERT_UPDATE, "delete"),
    # audit: nobody changes the trail
    "audit_entry": ("select", "insert"),
    # webhook
    "webhook": (*SELECT_INSERT_UPDATE, "delete"),
    "webhook_attempt": ("select", "insert", "delete"),  # for a time only
    # job: a job whose audience never came is deleted, and so are chunks of old ones
    "job": (*SELECT_INSERT_UPDATE, "delete"),
    "job_chunk": (*SELECT_INSERT_UPDATE, "delete"),
    # undoing
    "undo": SELECT_INSERT_UPDATE,
    # storage: the queue's library keeps its own tables
    "pgqueuer": (*SELECT_INSERT_UPDATE, "delete"),
    "pgqueuer_log": (*SELECT_INSERT_UPDATE, "delete"),
    "pgqueuer_statistics": SELECT_INSERT_UPDATE,
    "pgqueuer_schedules": ("select",),
    "schema_migration": ("select",),
}
SEQUENCES = ("request_number", "outbox_position", "pgqueuer_id_seq", "pgqueuer_statistics_id_seq")


async def grant(connection: Connection, role: str) -> list[str]:
    """Give the role exactly these rights, and answer what is wrong all the same, one sentence each.

    Raises SetupError where there is no such role, or where rights would not bind it.
    """
    unbound = await connection.fetchval(SQL["find_role"], role)
    if unbound is None:
        raise SetupError(f"There is no role {role!r}; make it with CREATE ROLE … LOGIN.")
    if unbound:
        raise SetupError(f"The role {role!r} owns the tables or is a superuser, so rights do not bind it.")
    rights = [", ".join(rights) for rights in GRANTS.values()]
    async with connection.transaction():
        statements = [
            *await connection.fetch(SQL["revoke_statements"], role),
            *await connection.fetch(SQL["grant_statements"], role, list(GRANTS), rights, list(SEQUENCES)),
        ]
        for (statement,) in statements:
            await connection.execute(cast("str", statement))
    if await connection.fetchval(SQL["may_create"], role):
        return ["Everybody may create tables in this schema: REVOKE CREATE ON SCHEMA … FROM PUBLIC."]
    return []


async def require_grants(connection: Connection) -> None:
    """Raise SetupError where we lack a right, as after a migration with a new table."""
    needed = [(table, right.split()[0]) for table, rights in GRANTS.items() for right in rights]
    tables, rights = zip(*needed, strict=True)
    missing = [
        row[0] for row in await connection.fetch(SQL["find_missing_rights"], list(tables), list(rights))
    ]
    if missing:
        role = await connection.fetchval("select current_user")
        raise SetupError(
            f"The database role {role!r} lacks rights: {', '.join(missing)}."
            f" Let the owner run `cockade db grant {role}`."
        )
