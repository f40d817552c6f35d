"""The downloadable files of a job."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Any

import msgspec
import numpy as np

from cockade import ids
from cockade.job import rules
from cockade.job.model import (
    REASON_COLUMN,
    AudienceFormat,
    AudienceLayout,
    Job,
    StagedChunk,
)
from cockade.job.parser import raw_fields, raw_value, split_raw_lines


async def results_file(job: Job, chunks: AsyncIterator[StagedChunk]) -> AsyncIterator[str]:
    """Yield every line of the audience with its result, as CSV."""
    yield _csv([["customer", "customerId", "issuedId", "code", "message"]])
    async for chunk in chunks:
        yield _csv(_results(job, chunk))


def _results(job: Job, chunk: StagedChunk) -> list[list[object]]:
    told = rules.line_results(job, chunk)
    standing = {refusal.line: refusal.conflicting_id for refusal in chunk.refusals}
    values = _values(job.layout, chunk)
    lines = np.arange(len(chunk.numbers)) + chunk.first_line
    earned = [""] * len(lines) if job.is_dry_run else ids.earned_badge_ids_at(job.job_key, lines)
    rows: list[list[object]] = []
    for line, number in enumerate(chunk.numbers.tolist()):
        if line in told:
            rows.append([values[line], number or "", standing.get(line) or "", *told[line]])
        elif number:
            rows.append([values[line], number, earned[line], "", ""])
    return rows


def _values(form: AudienceLayout, chunk: StagedChunk) -> list[str]:
    """Return each line's value in the place of the customer."""
    if chunk.raw_lines is not None:
        return [raw_value(form, text) for text in split_raw_lines(chunk.raw_lines)]
    values = [str(number) for number in chunk.numbers.tolist()]
    for flaw in chunk.line_errors:
        values[flaw.line] = flaw.value
    return values


async def refused_file(job: Job, chunks: AsyncIterator[StagedChunk]) -> AsyncIterator[str]:
    """Yield the failed lines as sent, each with its reason. The result can be used as an audience."""
    form = job.layout
    is_csv = form.format is AudienceFormat.CSV
    if is_csv:
        columns = [column for column in form.columns if column.lower() != REASON_COLUMN]
        yield _csv([[*(columns or ["customerId"]), REASON_COLUMN]], form.delimiter)
    async for chunk in chunks:
        rows = _refused(job, chunk)
        yield (
            _csv([_columns(form, *row) for row in rows], form.delimiter)
            if is_csv
            else "".join(_json_line(form, *row) for row in rows)
        )


def _refused(job: Job, chunk: StagedChunk) -> list[tuple[str, str | None, str]]:
    """Return, for each failed line, its customer, the whole line if it has more columns, and the reason."""
    told = rules.line_results(job, chunk)
    is_over = rules.is_over(job.state)
    values = _values(job.layout, chunk)
    texts = None if chunk.raw_lines is None else split_raw_lines(chunk.raw_lines)
    return [
        (values[line], None if texts is None else texts[line], f"{code or ''} {message}".strip())
        for line, (code, message) in sorted(told.items())
        if code is not None or is_over
    ]


def _columns(form: AudienceLayout, value: str, text: str | None, reason: str) -> list[str]:
    if text is None:
        fields = ["" for _ in form.columns] or [""]
        fields[form.place] = value
    else:
        fields = raw_fields(form, text)
    fields += [""] * (len(form.columns) - len(fields))
    pairs = zip_longest(form.columns, fields, fillvalue="")
    return [*(field for column, field in pairs if column.lower() != REASON_COLUMN), reason]


def _json_line(form: AudienceLayout, value: str, text: str | None, reason: str) -> str:
    name = form.column or "customerId"
    found: Any = value
    with suppress(msgspec.DecodeError, RecursionError):
        found = value if text is None else msgspec.json.decode(text)
    fields: dict[str, Any] = {**found} if isinstance(found, dict) else {name: found}
    return msgspec.json.encode({**fields, REASON_COLUMN: reason}).decode() + "\n"


def _csv(rows: Sequence[Sequence[object]], delimiter: str = ",") -> str:
    written = io.StringIO()
    csv.writer(written, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return written.getvalue()
