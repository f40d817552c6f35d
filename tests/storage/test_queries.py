"""Every named statement can be prepared on the migrated schema."""

from __future__ import annotations

from importlib import resources

import pytest

from cockade.storage.database import Connection
from cockade.storage.sql import load

PACKAGES = sorted(
    f"cockade.{folder.name}"
    for folder in resources.files("cockade").iterdir()
    if folder.is_dir() and folder.joinpath("queries.sql").is_file()
)
STATEMENTS = [(package, name) for package in PACKAGES for name in load(package)]


@pytest.mark.parametrize(("package", "name"), STATEMENTS)
async def test_every_statement_can_be_prepared(connection: Connection, package: str, name: str) -> None:
    await connection.prepare(load(package)[name])


def test_all_features_with_statements_are_covered() -> None:
    assert {"cockade.auth", "cockade.badge", "cockade.earning", "cockade.request"} <= set(PACKAGES)
