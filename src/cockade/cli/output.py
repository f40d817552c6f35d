"""What commands print: JSON for programs, a table for people."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

WIDTH_MAX = 10_000

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def show(value: dict[str, Any] | list[dict[str, Any]], *, as_json: bool) -> None:
    """One record, or a list of records with the same keys."""
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
    elif isinstance(value, dict):
        table = Table(show_header=False)
        for name, cell in value.items():
            table.add_row(name, _text(cell))
        _print(table)
    else:
        table = Table(*(value[0] if value else ("nothing yet",)))
        for record in value:
            table.add_row(*map(_text, record.values()))
        _print(table)


def _print(table: Table) -> None:
    """Never cut a secret: where the table is wider than the terminal, the terminal may wrap it."""
    needed = Console(width=WIDTH_MAX).measure(table).maximum
    Console(width=max(Console().width, needed)).print(table)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)
