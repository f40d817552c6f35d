"""Generate an audience file for jobs: `python -m bench.audience 5000000 > customers.csv`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

LINES_PER_WRITE = 100_000
STRIDE = 7_919
"""Ids are not sorted: each id is the previous one plus this stride, modulo the number of customers."""


def audience(
    count: Annotated[int, typer.Argument(min=1, help="Number of customers.")],
    first: Annotated[int, typer.Option(min=1, help="Lowest customer id.")] = 1_000_001,
    repeated: Annotated[int, typer.Option(min=0, help="Number of customers to repeat at the end.")] = 0,
    malformed: Annotated[int, typer.Option(min=0, help="Number of malformed lines to add at the end.")] = 0,
) -> None:
    """Write a CSV file of distinct customer ids, unsorted, to standard output."""
    write = sys.stdout.write
    write("customerId\n")
    stride = STRIDE if count % STRIDE else STRIDE + 2
    for start in range(0, count + repeated, LINES_PER_WRITE):
        indexes = range(start, min(count + repeated, start + LINES_PER_WRITE))
        write("".join([f"{first + index * stride % count}\n" for index in indexes]))
    write("".join(f"malformed {number}\n" for number in range(malformed)))


if __name__ == "__main__":
    typer.run(audience)
