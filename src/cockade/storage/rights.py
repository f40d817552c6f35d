"""What the role that serves may do in the database, and nothing beyond; migrations are run by the owner.

A new table gets its line here, or a test fails.
"""

from __future__ import annotations

from typing import cast

from cockade.errors import SetupError
from cockade.storage.connection import Connection
from cockade.storage.sql import load

SQL = load(__package__, "rights.sql")

ADDED_TO = ("select", "insert", "update")
"""The rights on a table whose rows come and change, and stay."""

RIGHTS: dict[str, tuple[str, ...]] = {
    # access: orgs, credentials and keys are made by commands, which the owner runs
    "org": ("select", "update (name)"),  # an org is locked, and a lock asks for the right to change something
    "credential": ("select",),
    "signing_key": ("select", "insert"),  # the first one is made on demand
    # throttle
    "guess": ("select", "insert", "delete", "update (guessed_at)"),  # likewise, for a lock
    "known_address": (*ADDED_TO, "delete"),
    "call_lease": ADDED_TO,
    # badge
    "badge": ADDED_TO,
    "badge_claim": ADDED_TO,
    "badge_count": ADDED_TO,
    # request: ids that a refusal gives back are deleted in the transaction that took them
    "request": (*ADDED_TO, "delete"),
    "outbox": ("select", "insert", "update (position, customers)", "delete"),  # for a time only
    "ending": ("select", "insert", "delete"),
    # earning and enrolment: an entry of a ledger is revoked, moved to another customer, or erased with its customer
    "earned_badge": ("select", "insert", "update (revoked_at, counted_at, customer_id, ordinal)", "delete"),
    "enrolment": ("select", "insert", "update (revoked_at, customer_id, ordinal)", "delete"),
    # limit
    "tally": (*ADDED_TO, "delete"),
    # catalogue
    "badge_group": ADDED_TO,
    "custom_field": ADDED_TO,
    "org_meta": ADDED_TO,
    # customer
    "customer_identifier": (*ADDED_TO, "delete"),
    # replay
    "kept_answer": (*ADDED_TO, "delete"),
    # audit: nobody changes the trail
    "audit_entry": ("select", "insert"),
    # webhook
    "webhook": (*ADDED_TO, "delete"),
    "webhook_attempt": ("select", "insert", "delete"),  # for a time only
    # job: a job whose audience never came is deleted, and so are chunks of old ones
    "job": (*ADDED_TO, "delete"),
    "job_chunk": (*ADDED_TO, "delete"),
    # undoing
    "undoing": ADDED_TO,
    # storage: the queue's library keeps its own tables
    "pgqueuer": (*ADDED_TO, "delete"),
    "pgqueuer_log": (*ADDED_TO, "delete"),
    "pgqueuer_statistics": ADDED_TO,
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
    rights = [", ".join(rights) for rights in RIGHTS.values()]
    async with connection.transaction():
        statements = [
            *await connection.fetch(SQL["revoke_statements"], role),
            *await connection.fetch(SQL["grant_statements"], role, list(RIGHTS), rights, list(SEQUENCES)),
        ]
        for (statement,) in statements:
            await connection.execute(cast("str", statement))
    if await connection.fetchval(SQL["may_create"], role):
        return ["Everybody may create tables in this schema: REVOKE CREATE ON SCHEMA … FROM PUBLIC."]
    return []


async def require_rights(connection: Connection) -> None:
    """Raise SetupError where we lack a right, as after a migration with a new table."""
    needed = [(table, right.split()[0]) for table, rights in RIGHTS.items() for right in rights]
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
