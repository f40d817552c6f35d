"""The wire structs of jobs, how a call becomes a command and its body pieces of an audience, and the files of a job."""

from __future__ import annotations

import asyncio
import csv
import io
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated, Any

import msgspec
import numpy as np
from litestar.exceptions import InternalServerException
from litestar.openapi.spec import (
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from msgspec import Meta, Struct

from cockade import ids, times
from cockade.config import Config
from cockade.customer.model import IdentifierKind
from cockade.errors import (
    MALFORMED,
    BodyEncoded,
    BodyTooLarge,
    BodyTooSlow,
    CockadeError,
    Fault,
    InvalidInput,
)
from cockade.http import body
from cockade.http.body import Faults
from cockade.http.earnings import EventBody, command_of
from cockade.http.requests import ApiRequest
from cockade.http.wire import Pagination, TriggeredBy, paginate, time_fields
from cockade.ids import RequestKey
from cockade.job import parquet, rules
from cockade.job.model import (
    PARQUET,
    REASON_COLUMN,
    AudienceFormat,
    Form,
    Job,
    JobCommand,
    JobState,
    StagedChunk,
)
from cockade.job.reading import sent_fields, sent_lines, sent_value
from cockade.job.service import job_id
from cockade.request.model import OwnerType

PIECE_BYTES = 64 * 1024
"""So much of an audience is awaited at a time."""
READ_AWAY_S = 5.0
"""So long the rest of an audience that is refused is taken from a caller who is still sending, that she hears why."""
_UNPACKED_BYTES = 1024 * 1024
FORMATS = {
    "text/csv": AudienceFormat.CSV,
    "application/x-ndjson": AudienceFormat.NDJSON,
    "application/ndjson": AudienceFormat.NDJSON,
    "application/jsonl": AudienceFormat.NDJSON,
    PARQUET: AudienceFormat.CSV,
}
"""What is staged of each; a Parquet file is, by the column of its customers alone."""
BOOLEANS = {"true": True, "false": False}


class JobFields(EventBody, frozen=True, kw_only=True, rename="camel"):
    """What a call that begins a job says beside its audience."""

    column: str | None = None
    identifier: IdentifierKind | None = None
    dry_run: bool = False


class RefusedCount(Struct, frozen=True):
    """How many were refused for one reason."""

    code: int
    message: str
    count: int


class JobCounts(Struct, frozen=True, kw_only=True):
    """What became of the lines of the audience so far; they add up to `decided`, with those not decided yet to `lines`."""

    lines: Annotated[int, Meta(description="In the audience, but for empty ones.")]
    decided: Annotated[int, Meta(description="Of these, by now.")]
    issued: Annotated[int, Meta(description="Customers who earned; in a dry run, who would have.")]
    refused: Annotated[list[RefusedCount], Meta(description="Customers who did not, by reason.")]
    repeated: Annotated[int, Meta(description="Lines whose customer stands in an earlier one.")]
    malformed: Annotated[
        int, Meta(description="Lines that could not be read; known once the audience is there.")
    ]
    unknown: Annotated[int, Meta(description="Lines with an identifier that no customer has; likewise.")]


class JobAnswer(Struct, frozen=True, kw_only=True, rename="camel"):
    """A job, and how far it is."""

    job_id: Annotated[str, Meta(description="16 hex digits.")]
    request_id: str
    badge_meta_id: str
    triggered_by: TriggeredBy
    earn_event_date: Annotated[float, Meta(description="The same for all customers, epoch seconds.")]
    earn_event_date_iso: str = msgspec.field(name="earnEventDateISO")
    dry_run: Annotated[bool, Meta(description="Whether it decides only, and changes nothing.")]
    state: JobState
    failure: Annotated[str | None, Meta(description="Why it failed.")]
    counts: JobCounts
    percentage: Annotated[float, Meta(description="Of lines that are decided; 100 is all.")]
    rate_per_second: Annotated[
        float | None, Meta(description="Lines a second, of late; null unless it runs.")
    ]
    seconds_left: Annotated[float | None, Meta(description="At this rate.")]
    created_by: str
    created_on: Annotated[float, Meta(description="Epoch seconds.")]
    created_on_iso: str = msgspec.field(name="createdOnISO")
    started_on: float | None
    started_on_iso: str | None = msgspec.field(name="startedOnISO")
    finished_on: float | None
    finished_on_iso: str | None = msgspec.field(name="finishedOnISO")


class JobPage(Struct, frozen=True, kw_only=True):
    """Jobs, newest first."""

    jobs: list[JobAnswer]
    pagination: Pagination


EXAMPLE_ID = "6746e2a100000001"
EXAMPLE = JobAnswer(
    job_id=EXAMPLE_ID,
    request_id="spring-campaign",
    badge_meta_id="653de334b3cda7078c7c68eb",
    triggered_by=TriggeredBy(OwnerType.LOYALTY, "123457"),
    earn_event_date=1732600000.0,
    earn_event_date_iso="2024-11-26T05:46:40Z",
    dry_run=False,
    state=JobState.RUNNING,
    failure=None,
    counts=JobCounts(
        lines=5_000_000,
        decided=1_250_000,
        issued=1_249_990,
        refused=[RefusedCount(1040, rules.MESSAGES[1040], 7)],
        repeated=1,
        malformed=2,
        unknown=0,
    ),
    percentage=25.0,
    rate_per_second=180_000.0,
    seconds_left=20.8,
    created_by="backend",
    created_on=1732600001.0,
    created_on_iso="2024-11-26T05:46:41Z",
    started_on=1732600004.0,
    started_on_iso="2024-11-26T05:46:44Z",
    finished_on=None,
    finished_on_iso=None,
)


EXAMPLE_PAGE = JobPage(jobs=[EXAMPLE], pagination=paginate(0, 10, 1))


@dataclass
class AudienceOperation(Operation):
    """Documents a body that no handler reads as a whole."""

    def __post_init__(self) -> None:
        text = Schema(type=OpenAPIType.STRING)
        self.request_body = RequestBody(
            description="The audience, one customer on each line.",
            required=True,
            content={
                "text/csv": OpenAPIMediaType(
                    schema=text, examples={"ids": Example(value="customerId\n62090013\n553162563\n")}
                ),
                "application/x-ndjson": OpenAPIMediaType(
                    schema=text, examples={"ids": Example(value='{"customerId": 62090013}\n553162563\n')}
                ),
                PARQUET: OpenAPIMediaType(
                    schema=Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
                ),
            },
        )


def to_command(request: ApiRequest) -> JobCommand:
    """The command that the query asks for. Raises InvalidInput with every fault."""
    format_ = _format(request.headers.get("Content-Type"))

    def convert(fields: JobFields, faults: Faults) -> JobCommand:
        bulk = command_of(fields, [], request.exchange, faults)
        if format_ is None:
            faults.note("Content-Type", f"Send the audience as text/csv, application/x-ndjson or {PARQUET}.")
        return JobCommand(
            request_id=bulk.request_id,
            badge_id=bulk.badge_id,
            event_at=bulk.event_at,
            owner_type=bulk.owner_type,
            reference_id=bulk.reference_id,
            form=Form(
                format=format_ or AudienceFormat.CSV, column=fields.column, identifier=fields.identifier
            ),
            is_dry_run=fields.dry_run,
        )

    return body.read(msgspec.json.encode(_sent(request.query_params.dict())), JobFields, convert)


def _sent(query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The query in the form of a body of earnBulk."""
    sent: dict[str, Any] = {name: values[-1] for name, values in query.items()}
    owner = {name: sent.pop(name) for name in ("ownerType", "referenceId") if name in sent}
    if "dryRun" in sent:
        sent["dryRun"] = BOOLEANS.get(sent["dryRun"], sent["dryRun"])
    return sent | {"triggeredBy": owner}


def _format(content_type: str | None) -> AudienceFormat | None:
    return FORMATS.get(_media_type(content_type))


def _media_type(content_type: str | None) -> str:
    return (content_type or "text/csv").partition(";")[0].strip().lower()


def audience(request: ApiRequest, form: Form) -> AsyncGenerator[bytes]:
    """The audience as it is staged, to be closed whatever happens. Raises ParquetNotInstalled."""
    taken = pieces(request)
    if _media_type(request.headers.get("Content-Type")) != PARQUET:
        return taken
    parquet.require_installed()
    return parquet.as_csv(taken, form.column, request.config.audience_bytes_max)


async def pieces(request: ApiRequest) -> AsyncGenerator[bytes]:
    """The audience as it comes in, unpacked; never much of it at a time.

    Raises BodyEncoded, BodyTooLarge, BodyTooSlow, and InvalidInput where the caller broke off.
    """
    config: Config = request.config
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise BodyEncoded
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    taken, stream = 0, request.stream()
    while packed := await _receive(stream, config.body_s_max):
        for piece in _unpacked(unpacking, packed):
            taken += len(piece)
            if taken > config.audience_bytes_max:
                raise BodyTooLarge(
                    f"An audience has at most {config.audience_bytes_max} bytes (COCKADE_AUDIENCE_BYTES_MAX)."
                )
            yield piece
    if unpacking is not None and not unpacking.eof:
        raise _broken_off()


async def _receive(stream: AsyncIterator[bytes], s_max: float) -> bytes:
    """What comes next, a piece at least but at the end, where it is empty."""
    parts, size = list[bytes](), 0
    try:
        async with asyncio.timeout(s_max):
            while size < PIECE_BYTES and (part := await anext(stream, None)) is not None:
                parts.append(part)
                size += len(part)
    except TimeoutError:
        raise BodyTooSlow from None
    except InternalServerException:
        raise _broken_off() from None
    return b"".join(parts)


def _broken_off() -> InvalidInput:
    return InvalidInput([Fault(MALFORMED, "The audience ended before it was complete.", "audience")])


def _unpacked(unpacking: Any, packed: bytes) -> Iterator[bytes]:
    if unpacking is None:
        yield packed
        return
    try:
        while packed:
            yield unpacking.decompress(packed, _UNPACKED_BYTES)
            packed = unpacking.unconsumed_tail
    except zlib.error:
        raise InvalidInput([Fault(MALFORMED, "The audience is not gzip.", "audience")]) from None


async def read_away(request: ApiRequest) -> None:
    """Take what a caller is still sending, for a while: one who is cut off while sending would not hear the answer."""
    with suppress(TimeoutError, InternalServerException, CockadeError):
        async with asyncio.timeout(READ_AWAY_S):
            async for _ in request.stream():
                pass


def read_job_id(text: str) -> RequestKey | None:
    """The key of the job, or None where it is no id of one."""
    place = ids.earned_badge_place(f"{text}00000000")
    return None if place is None else place[0]


def job_answer(job: Job) -> JobAnswer:
    """The job as of now."""
    counts = job.counts
    return JobAnswer(
        job_id=job_id(job.job_key),
        request_id=job.request_id,
        badge_meta_id=job.badge_id,
        triggered_by=TriggeredBy(job.owner_type, job.reference_id),
        **time_fields("earn_event_date", job.event_at),
        dry_run=job.is_dry_run,
        state=job.state,
        failure=job.failure,
        counts=JobCounts(
            lines=job.lines,
            decided=job.done,
            issued=counts.issued,
            refused=[
                RefusedCount(code, rules.MESSAGES[code], count)
                for code, count in sorted(counts.refused.items())
            ],
            repeated=counts.repeated,
            malformed=counts.malformed,
            unknown=counts.unknown,
        ),
        percentage=rules.percentage(job),
        rate_per_second=None if job.rate is None else round(job.rate, 1),
        seconds_left=None if (left := rules.seconds_left(job)) is None else round(left, 1),
        created_by=job.created_by,
        **time_fields("created_on", job.created_at),
        started_on=job.started_at and times.epoch(job.started_at),
        started_on_iso=job.started_at and times.iso(job.started_at),
        finished_on=job.finished_at and times.epoch(job.finished_at),
        finished_on_iso=job.finished_at and times.iso(job.finished_at),
    )


def job_page(found: list[Job], page: int, size: int, total: int) -> JobPage:
    """A page of jobs."""
    return JobPage(jobs=[job_answer(job) for job in found], pagination=paginate(page, size, total))


# The files


async def results_file(job: Job, chunks: AsyncIterator[StagedChunk]) -> AsyncIterator[str]:
    """Every line of the audience with what became of it, as CSV."""
    yield _csv([["customer", "customerId", "issuedId", "code", "message"]])
    async for chunk in chunks:
        yield _csv(_results(job, chunk))


def _results(job: Job, chunk: StagedChunk) -> list[list[object]]:
    told = rules.told(job, chunk)
    standing = {refusal.line: refusal.standing_id for refusal in chunk.refusals}
    values = _values(job.form, chunk)
    lines = np.arange(len(chunk.numbers)) + chunk.first_line
    earned = [""] * len(lines) if job.is_dry_run else ids.earned_badge_ids_at(job.job_key, lines)
    rows: list[list[object]] = []
    for line, number in enumerate(chunk.numbers.tolist()):
        if line in told:
            rows.append([values[line], number or "", standing.get(line) or "", *told[line]])
        elif number:
            rows.append([values[line], number, earned[line], "", ""])
    return rows


def _values(form: Form, chunk: StagedChunk) -> list[str]:
    """What each line says where the customer should be."""
    if chunk.sent is not None:
        return [sent_value(form, text) for text in sent_lines(chunk.sent)]
    values = [str(number) for number in chunk.numbers.tolist()]
    for flaw in chunk.flaws:
        values[flaw.line] = flaw.value
    return values


async def refused_file(job: Job, chunks: AsyncIterator[StagedChunk]) -> AsyncIterator[str]:
    """The lines that were not issued to, as they were sent and each with its reason: an audience again."""
    form = job.form
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
    """Of each refused line: the customer it names, the whole of it where there is more, and the reason."""
    told = rules.told(job, chunk)
    is_over = rules.is_over(job.state)
    values = _values(job.form, chunk)
    texts = None if chunk.sent is None else sent_lines(chunk.sent)
    return [
        (values[line], None if texts is None else texts[line], f"{code or ''} {message}".strip())
        for line, (code, message) in sorted(told.items())
        if code is not None or is_over
    ]


def _columns(form: Form, value: str, text: str | None, reason: str) -> list[str]:
    if text is None:
        fields = ["" for _ in form.columns] or [""]
        fields[form.place] = value
    else:
        fields = sent_fields(form, text)
    fields += [""] * (len(form.columns) - len(fields))
    pairs = zip_longest(form.columns, fields, fillvalue="")
    return [*(field for column, field in pairs if column.lower() != REASON_COLUMN), reason]


def _json_line(form: Form, value: str, text: str | None, reason: str) -> str:
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
