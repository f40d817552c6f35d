"""SQL gets time and randomness as parameters, and each table is written by one feature."""

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from tests.lint import repo

OWNERS = {
    "org": "auth",
    "credential": "auth",
    "signing_key": "auth",
    "failed_login": "auth",
    "known_login_address": "auth",
    "rate_limit_window": "rate_limit",
    "badge": "badge",
    "badge_claim": "badge",
    "badge_count": "badge",
    "badge_limit_counter": "limit",
    "request": "request",
    "outbox": "outbox",
    "pending_expiry": "outbox",
    "earned_badge": "earning",
    "enrolment": "enrolment",
    "badge_group": "metadata",
    "custom_field": "metadata",
    "org_meta": "metadata",
    "customer_identifier": "customer",
    "audit_entry": "audit",
    "webhook": "webhook",
    "webhook_attempt": "webhook",
    "job": "job",
    "job_chunk": "job",
    "undo": "undo",
    "idempotency_key": "idempotency",
    "schema_migration": "storage",
}
ALSO_WRITES = {("request", "outbox")}
"""The outbox row of a request is written by the statement that completes it, which saves a round trip."""
LIBRARY = re.compile(r"^-- pgqueuer \d.*\Z", re.DOTALL | re.MULTILINE)
"""DDL of the queue library in the migration: from this line to the end."""
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
UNGIVEN = re.compile(
    r"\b(?:current_timestamp|current_date|current_time|localtimestamp|localtime)\b"
    r"|\b(?:now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|random_normal"
    r"|gen_random_uuid|uuidv4|uuidv7)\s*\("
    r"|'(?:now|today|tomorrow|yesterday)'",
    re.IGNORECASE,
)
WRITE = re.compile(
    r"\b(?:insert\s+into|update|delete\s+from|merge\s+into|truncate(?:\s+table)?|copy)\s+(?:only\s+)?"
    r'(?:"?\w+"?\.)?"?(\w+)"?',
    re.IGNORECASE,
)
REWRITE = re.compile(
    r"\b(?:update|delete\s+from|merge\s+into|truncate(?:\s+table)?)\s+(?:only\s+)?"
    r'(?:"?\w+"?\.)?"?(\w+)"?',
    re.IGNORECASE,
)
UPSERT = re.compile(r'\binsert\s+into\s+(?:"?\w+"?\.)?"?(\w+)"?[^;]*\bdo\s+update\b', re.IGNORECASE)
NOT_A_TABLE = {"set", "of", "skip", "nowait", "cascade", "restrict", "no", "or"}  # as in "do update set"


def violations(sql: str) -> list[str]:
    """Return calls that read time or randomness on the server."""
    bare = COMMENT.sub(" ", LIBRARY.sub("", sql))
    return [f"line {sql_line(bare, found)}: {found[0]}" for found in UNGIVEN.finditer(bare)]


def sql_line(sql: str, found: re.Match[str]) -> int:
    """Return the line of a match."""
    return sql.count("\n", 0, found.start()) + 1


def writes(sql: str) -> set[str]:
    """Return the tables that these statements write."""
    found = {match[1].lower() for match in WRITE.finditer(COMMENT.sub(" ", sql))}
    return found - NOT_A_TABLE


def copies(tree: ast.Module) -> set[str]:
    """Return the tables that a module fills by COPY: the first argument of methods called copy…."""
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr.startswith("copy_")
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    }


def ownership_violations(written: Mapping[str, Iterable[str]]) -> list[str]:
    """Return violations for tables written per feature. A table that is not in OWNERS still has at most one
    writer.
    """
    owners = dict(OWNERS)
    return [
        f"{feature} writes {table}, which belongs to {owners[table]}"
        for feature in sorted(written)
        for table in sorted(written[feature])
        if owners.setdefault(table, feature) != feature and (feature, table) not in ALSO_WRITES
    ]


def _written_by_features() -> dict[str, set[str]]:
    written: dict[str, set[str]] = {}
    for path in repo.sql_files():
        if path.parent.name != "migrations":
            written.setdefault(_feature(path), set()).update(writes(path.read_text(encoding="utf-8")))
    for path in repo.modules():
        written.setdefault(_feature(path), set()).update(copies(repo.parse(path)))
    return written


def _feature(path: Path) -> str:
    return path.relative_to(repo.SOURCE).parts[0]


def rewrites(sql: str) -> set[str]:
    """Return the tables whose existing rows these statements change or delete."""
    bare = COMMENT.sub(" ", sql)
    upserts = {match[1].lower() for match in UPSERT.finditer(bare)}
    return {match[1].lower() for match in REWRITE.finditer(bare)} - NOT_A_TABLE | upserts


def test_audit_entries_are_never_changed_or_deleted() -> None:
    found = [
        repo.short(path)
        for path in repo.sql_files()
        if "audit_entry" in rewrites(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "sql",
    [
        "update audit_entry set at = $1",
        "with old as (delete from only audit_entry returning 1) select 1",
        "TRUNCATE audit_entry",
        "merge into public.audit_entry a using x on true when matched then delete",
        "insert into audit_entry (entry_id) values (1) on conflict (entry_id) do update set at = $1",
    ],
)
def test_change_of_the_audit_trail_is_caught(sql: str) -> None:
    assert rewrites(sql) == {"audit_entry"}


def test_sql_gets_time_and_randomness_as_parameters() -> None:
    found = [
        f"{repo.short(path)} {field_error}"
        for path in repo.sql_files()
        for field_error in violations(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_each_table_is_written_by_its_owner() -> None:
    assert ownership_violations(_written_by_features()) == []


@pytest.mark.parametrize(
    "sql",
    [
        "select now()",
        "insert into org (created_at) values (CURRENT_TIMESTAMP)",
        "create table x (at timestamptz default clock_timestamp ())",
        "select localtimestamp",
        "select * from org order by random()",
        "select gen_random_uuid()",
        "select 'now'::timestamptz",
    ],
)
def test_server_time_and_randomness_are_caught(sql: str) -> None:
    assert violations(sql)


def test_comments_are_ignored() -> None:
    assert (
        violations("-- never now()\nselect $1::timestamptz /* not random() */, known, nowhere from org") == []
    )


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("insert into badge (a) values ($1) on conflict (a) do update set a = $1", {"badge"}),
        ("with gone as (delete from only public.request returning 1) select 1 from gone", {"request"}),
        ("UPDATE earned_badge SET revoked_at = $1", {"earned_badge"}),
        ('insert\n  into "org" values ($1)', {"org"}),
        ("copy earned_badge from stdin binary", {"earned_badge"}),
        ("select * from badge where badge_id = $1 for update of badge", set[str]()),
        ("select * from badge for update skip locked -- then update org", set[str]()),
    ],
)
def test_written_tables_are_found(sql: str, tables: set[str]) -> None:
    assert writes(sql) == tables


def test_copied_tables_are_found() -> None:
    tree = ast.parse("await tx.copy_records_to_table('earned_badge', records=rows)")
    assert copies(tree) == {"earned_badge"}


def test_write_by_another_feature_is_caught() -> None:
    assert ownership_violations({"badge": ["badge"], "holding": ["earned_badge"]}) == [
        "holding writes earned_badge, which belongs to earning"
    ]


def test_second_writer_of_an_unlisted_table_is_caught() -> None:
    assert ownership_violations({"enrolment": ["pledge"], "limit": ["pledge"]}) == [
        "limit writes pledge, which belongs to enrolment"
    ]
