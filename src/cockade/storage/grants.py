"""The permissions of the role that `cockade serve` uses. Migrations are run by the owner.

A test fails if a new table is missing here.
"""

from __future__ import annotations

from typing import cast

from cockade.errors import SetupError
from cockade.storage.connection import Connection
from cockade.storage.sql import load

SQL = load(__package__, "grants.sql")

SELECT_INSERT_UPDATE = ("select", "insert", "update")
"""Permissions on a table whose rows are never deleted."""

GRANTS: dict[str, tuple[str, ...]] = {
    # auth: the owner's commands create orgs, credentials and keys
    "org": ("select", "update (name)"),  # the row lock requires a column permission
    "credential": ("select",),
    "signing_key": ("select", "insert"),  # the first one is created on demand
    # auth and rate_limit
    "failed_login": ("select", "insert", "delete", "update (failed_at)"),  # for row locks
    "known_login_address": (*SELECT_INSERT_UPDATE, "delete"),
    "rate_limit_window": SELECT_INSERT_UPDATE,
    # badge
    "badge": SELECT_INSERT_UPDATE,
    "badge_claim": SELECT_INSERT_UPDATE,
    "badge_count": SELECT_INSERT_UPDATE,
    # request: a released request id is deleted in the transaction that took it
    "request": (*SELECT_INSERT_UPDATE, "delete"),
    "outbox": ("select", "insert", "update (position, customer_ids)", "delete"),  # kept for a limited time
    "pending_expiry": ("select", "insert", "delete"),
    # earning and enrolment: an issuance is revoked, moved to another customer, or erased with its customer
    "earned_badge": ("select", "insert", "update (revoked_at, counted_at, customer_id, ordinal)", "delete"),
    "enrolment": ("select", "insert", "update (revoked_at, customer_id, ordinal)", "delete"),
    # limit
    "badge_limit_counter": (*SELECT_INSERT_UPDATE, "delete"),
    # metadata
    "badge_group": SELECT_INSERT_UPDATE,
    "custom_field": SELECT_INSERT_UPDATE,
    "org_meta": SELECT_INSERT_UPDATE,
    # customer
    "customer_identifier": (*SELECT_INSERT_UPDATE, "delete"),
    # idempotency
    "idempotency_key": (*SELECT_INSERT_UPDATE, "delete"),
    # audit: entries never change
    "audit_entry": ("select", "insert"),
    # webhook
    "webhook": (*SELECT_INSERT_UPDATE, "delete"),
    "webhook_attempt": ("select", "insert", "delete"),  # kept for a limited time
    # job: abandoned uploads and old chunks are deleted
    "job": (*SELECT_INSERT_UPDATE, "delete"),
    "job_chunk": (*SELECT_INSERT_UPDATE, "delete"),
    # undo
    "undo": SELECT_INSERT_UPDATE,
    # storage: the tables of the queue library
    "pgqueuer": (*SELECT_INSERT_UPDATE, "delete"),
    "pgqueuer_log": (*SELECT_INSERT_UPDATE, "delete"),
    "pgqueuer_statistics": SELECT_INSERT_UPDATE,
    "pgqueuer_schedules": ("select",),
    "schema_migration": ("select",),
}
SEQUENCES = ("request_number", "outbox_position", "pgqueuer_id_seq", "pgqueuer_statistics_id_seq")


async def grant(connection: Connection, role: str) -> list[str]:
    """Grant the role exactly these permissions. Return remaining problems, one sentence each.

    Raises SetupError if there is no such role, or if permissions do not restrict it.
    """
    unbound = await connection.fetchval(SQL["find_role"], role)
    if unbound is None:
        raise SetupError(f"There is no role {role!r}; create it with CREATE ROLE … LOGIN.")
    if unbound:
        raise SetupError(
            f"The role {role!r} owns the tables or is a superuser, so permissions do not restrict it. Use another role."
        )
    rights = [", ".join(rights) for rights in GRANTS.values()]
    async with connection.transaction():
        statements = [
            *await connection.fetch(SQL["revoke_statements"], role),
            *await connection.fetch(SQL["grant_statements"], role, list(GRANTS), rights, list(SEQUENCES)),
        ]
        for (statement,) in statements:
            await connection.execute(cast("str", statement))
    if await connection.fetchval(SQL["may_create"], role):
        return ["Every role can create tables in this schema; run REVOKE CREATE ON SCHEMA … FROM PUBLIC."]
    return []


async def require_grants(connection: Connection) -> None:
    """Raise SetupError if we lack a permission, for example after a migration with a new table."""
    needed = [(table, right.split()[0]) for table, rights in GRANTS.items() for right in rights]
    tables, rights = zip(*needed, strict=True)
    missing = [
        row[0] for row in await connection.fetch(SQL["find_missing_rights"], list(tables), list(rights))
    ]
    if missing:
        role = await connection.fetchval("select current_user")
        raise SetupError(
            f"The database role {role!r} lacks permissions: {', '.join(missing)}. Run `cockade db grant {role}` as the owner."
        )
