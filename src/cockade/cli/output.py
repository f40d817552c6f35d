"""Output of commands: JSON or a table."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

WIDTH_MAX = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def show(value: dict[str, Any] | list[dict[str, Any]], *, as_json: bool) -> None:
    """Print one record, or a list of records with the same keys."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    elif isinstance(value, dict):
        table = Table(show_header=False)
        for name, cell in value.items():
            table.add_row(name, _text(cell))
        _print(table)
    else:
        table = Table(*(value[0] if value else ("no entries",)))
        for record in value:
            table.add_row(*map(_text, record.values()))
        _print(table)


def _print(table: Table) -> None:
    """Print the table without cutting cells, so that secrets stay complete. The terminal wraps tables that
    are too wide.
    """
    needed = Console(width=WIDTH_MAX).measure(table).maximum
    Console(width=max(Console().width, needed)).print(table)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)
