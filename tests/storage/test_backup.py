"""Inputs that backup and restore reject; they never overwrite anything."""

from __future__ import annotations

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from msgspec import Struct

from cockade.errors import SetupError
from cockade.storage.backup import ProgressStep, Restored, back_up, restore
from cockade.storage.database import connect
from cockade.storage.embedded import CLUSTER, RESTORING, embedded_database
from cockade.storage.migrate import migrate, migrations
from tests.conftest import reachable

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ORG = "insert into org (name, time_zone, created_at) values ('a', 'UTC', '2026-01-01')"


class Kept(Struct):
    """A data directory with one org in its database, and a backup of it."""

    data_dir: Path
    file: Path
    steps: list[ProgressStep]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    home = reachable(tmp_path_factory.mktemp("backup"))
    made = Kept(data_dir=home / "data", file=home / "backup", steps=[])

    async def fill(url: str) -> None:
        connection = await connect(url)
        await migrate(connection, NOW)
        await connection.execute(ORG)
        await connection.close()

    with embedded_database(made.data_dir) as url:
        asyncio.run(fill(url))
    back_up(made.data_dir, made.file, force=False, tell=made.steps.append)
    return made


def _restore(data_dir: Path, file: Path, *, force: bool = False) -> Restored:
    return restore(data_dir, file, NOW, force=force, tell=lambda _: None)


def _orgs(data_dir: Path) -> int:
    async def count(url: str) -> int:
        connection = await connect(url)
        try:
            return await connection.fetchval("select count(*) from org")
        finally:
            await connection.close()

    with embedded_database(data_dir) as url:
        return asyncio.run(count(url))


def test_backup_is_readable_only_by_its_owner_and_leaves_no_other_files(kept: Kept) -> None:
    assert kept.file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in kept.file.parent.iterdir()} == {"data", "backup"}
    assert kept.steps[-1] == ProgressStep("verifying", kept.steps[-1].total, kept.steps[-1].total)


def test_existing_file_is_replaced_only_with_force(kept: Kept) -> None:
    file = kept.file.with_name("again")
    file.write_text("something else")
    with pytest.raises(SetupError, match=r"again exists.*--force"):
        back_up(kept.data_dir, file, force=False, tell=lambda _: None)
    assert file.read_text() == "something else"
    made = back_up(kept.data_dir, file, force=True, tell=lambda _: None)
    last = migrations()[-1]
    assert (made.size_bytes, made.last_migration) == (file.stat().st_size, f"{last.version:04d}_{last.name}")


def test_unwritable_target_leaves_no_file(kept: Kept) -> None:
    with pytest.raises(SetupError, match=r"Cannot write to .*nowhere"):
        back_up(kept.data_dir, kept.file.parent / "nowhere" / "file", force=False, tell=lambda _: None)


def test_backup_without_a_database_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"no database in.*COCKADE_DATA_DIR"):
        back_up(tmp_path / "data", tmp_path / "file", force=False, tell=lambda _: None)
    assert list(tmp_path.iterdir()) == []


def _cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def _spoilt(whole: bytes) -> bytes:
    """The table of contents at the beginning is valid; a data block at the end is damaged."""
    return whole[:-40] + b"spoilt" * 5 + whole[-10:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "end of file"),
        (_spoilt, "pg_restore failed"),
        (lambda _: b"These are no badges.\n" * 1000, "is not a backup of cockade"),
        (lambda _: b"", "is not a backup of cockade"),
        (None, "There is no file"),
    ],
    ids=["cut off", "spoilt", "foreign", "empty", "absent"],
)
def test_file_that_is_not_a_backup_is_rejected_before_anything_changes(
    kept: Kept, tmp_path: Path, spoil, message: str
) -> None:
    file = tmp_path / "file"
    if spoil is not None:
        file.write_bytes(spoil(kept.file.read_bytes()))
    with pytest.raises(SetupError, match=message):
        _restore(tmp_path / "data", file)
    assert not (tmp_path / "data").exists()


def test_existing_database_is_moved_away_only_with_force(kept: Kept) -> None:
    with pytest.raises(SetupError, match=r"There is a database in.*--force"):
        _restore(kept.data_dir, kept.file)
    done = _restore(kept.data_dir, kept.file, force=True)
    assert (done.rows["org"], done.pending_migrations) == (1, [])
    assert done.replaced == kept.data_dir / f"{CLUSTER}-replaced-20260102T030405Z"
    assert _orgs(kept.data_dir) == 1
    shutil.rmtree(kept.data_dir / CLUSTER)
    assert done.replaced is not None
    done.replaced.rename(kept.data_dir / CLUSTER)
    assert _orgs(kept.data_dir) == 1, "what was put aside is whole"


def test_interrupted_restore_does_not_leave_an_empty_database(
    kept: Kept, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """An empty database would issue badges again that had been issued."""
    data_dir = reachable(tmp_path_factory.mktemp("interrupted"))
    (data_dir / RESTORING).mkdir()
    (data_dir / RESTORING / "PG_VERSION").write_text("18")
    with (
        pytest.raises(SetupError, match=r"was interrupted. Run `cockade db restore`"),
        embedded_database(data_dir),
    ):
        pass
    assert _restore(data_dir, kept.file).rows["org"] == 1
    assert not (data_dir / RESTORING).exists()
    assert _orgs(data_dir) == 1
