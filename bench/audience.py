"""`python -m bench.audience 5000000 > people.csv`: an audience of so many customers, for jobs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

LINES_TOGETHER = 100_000
STRIDE = 7_919
"""Ids do not stand in order: each is the one before and this, modulo how many there are."""


def audience(
    count: Annotated[int, typer.Argument(min=1, help="Customers.")],
    first: Annotated[int, typer.Option(min=1, help="The lowest id.")] = 1_000_001,
    repeated: Annotated[int, typer.Option(min=0, help="Of them, so many once more at the end.")] = 0,
    malformed: Annotated[int, typer.Option(min=0, help="So many lines that name nobody, at the end.")] = 0,
) -> None:
    """Write an audience as CSV, each customer once, in no order."""
    write = sys.stdout.write
    write("customerId\n")
    stride = STRIDE if count % STRIDE else STRIDE + 2
    for start in range(0, count + repeated, LINES_TOGETHER):
        places = range(start, min(count + repeated, start + LINES_TOGETHER))
        write("".join([f"{first + place * stride % count}\n" for place in places]))
    write("".join(f"nobody {number}\n" for number in range(malformed)))


if __name__ == "__main__":
    typer.run(audience)
