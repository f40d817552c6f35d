"""Audiences in Parquet: which columns are read, and that a file made to do harm comes to a 400."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa  # pyright: ignore[reportMissingTypeStubs]
import pyarrow.parquet as pq  # pyright: ignore[reportMissingTypeStubs]
import pytest

from cockade.errors import BodyTooLarge, InvalidInput
from cockade.job import parquet
from cockade.job import parquet_worker as unpacking
from cockade.job.model import PARQUET
from tests.http.test_jobs import asked, finish, holders, post, rows, service
from tests.support import Org

IDS = [1, 2, 3]
TYPES = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "decimal": pa.decimal128(20, 0),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "dictionary of strings": pa.dictionary(pa.int32(), pa.string()),
    "dictionary of integers": pa.dictionary(pa.int32(), pa.int64()),
}


def packed(columns: Mapping[str, Any], **options: Any) -> bytes:
    """A Parquet file."""
    written = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), written, **options)
    return written.getvalue()


def column_of(values: list[Any], kind: str) -> Any:
    wanted = TYPES[kind]
    if pa.types.is_dictionary(wanted):
        return pa.array(values).cast(wanted.value_type).dictionary_encode()
    return pa.array(list(map(Decimal, values)) if kind == "decimal" else values).cast(wanted)


async def sent(content: bytes, piece_bytes: int = 1 << 16) -> AsyncIterator[bytes]:
    for start in range(0, len(content), piece_bytes):
        yield content[start : start + piece_bytes]


async def unpacked(content: bytes, column: str | None = None, bytes_max: int = 1 << 30) -> list[str]:
    """The lines that it comes to."""
    pieces = [piece async for piece in parquet.as_csv(sent(content), column, bytes_max)]
    return b"".join(pieces).decode().splitlines()


def read(content: bytes, column: str | None = None) -> list[str]:
    """Convert a file in this process."""
    return "".join(unpacking.read(io.BytesIO(content), column)).splitlines()


def unpackers() -> list[psutil.Process]:
    """The processes that unpack a file."""
    return [each for each in psutil.Process().children() if "cockade.job.parquet_worker" in each.cmdline()]


async def send(org: Org, content: bytes, params: dict[str, str], **headers: str) -> httpx.Response:
    return await post(org, content, params, {"Content-Type": PARQUET, **headers})


async def issued(org: Org, answer: httpx.Response) -> Any:
    """The job, worked through."""
    assert answer.status_code == 202, answer.text
    job_key = int(answer.json()["data"]["jobId"], 16)
    return await finish(org, await service(org).get(org.caller, job_key))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", list(TYPES))
def test_a_column_of_integers_or_strings_is_read(kind: str) -> None:
    content = packed({"name": pa.array(["a", "b", "c"]), "customerId": column_of(IDS, kind)})
    assert read(content) == ["customerId", "1", "2", "3"]


async def test_an_audience_in_parquet_is_issued_to_and_its_refused_lines_are_csv(org: Org) -> None:
    badge_id = await org.make_badge()
    ids = pa.array([7, None, 8, -1, 7, 2**63], pa.decimal128(20, 0))
    content = packed({"x": pa.array([0.5] * 6), "people": ids}, row_group_size=2)
    job = await issued(org, await send(org, content, asked(badge_id, column="people")))
    assert (job.counts.issued, job.counts.malformed, job.counts.duplicates) == (2, 3, 1)
    assert await holders(org, badge_id) == [7, 8]
    refused = await rows(org, job, "refused")
    assert [row["people"] for row in refused] == ["", "-1", "7", str(2**63)]
    assert [row["reason"].partition(":")[0] for row in refused] == [
        "400 Line 3",  # the first line is that of the columns
        "400 Line 5",
        "409 An earlier line has the same customer.",
        "400 Line 7",
    ]


async def test_names_with_everything_in_them_are_looked_up_as_they_are(org: Org) -> None:
    badge_id = await org.make_badge()
    texts = ['a,"b";c\td', "o'hara\nb", None, "", "ü z"]
    names = pa.array([text if text is None else text.encode() for text in texts] + [b"\xff"], pa.binary())
    strings = pa.StringArray.from_buffers(len(names), *names.buffers()[1:], names.buffers()[0])
    content = packed({"e;mail": strings}, store_schema=False)
    params = asked(badge_id, column="e;mail", identifier="externalId")
    job = await issued(org, await send(org, content, params))
    found = await rows(org, job, "results")
    assert [row["customer"] for row in found] == ['a,"b";c\td', "o'hara b", "", "", "ü z", '"\ufffd"']
    assert [row["code"] for row in found] == ["404", "404", "400", "400", "404", "400"]


def test_a_file_of_many_row_groups_is_read_in_the_order_of_its_rows() -> None:
    ids = np.random.default_rng(1).permutation(30_000) + 1
    content = packed({"id": pa.array(ids)}, row_group_size=7_000, compression="gzip")
    assert read(content) == ["id", *map(str, ids)]


@pytest.mark.parametrize(
    ("columns", "column", "message"),
    [
        ({"a": [1], "b": [2]}, None, "Set the parameter column to the column of the customers; the columns are a, b."),
        ({"a": [1], "b": [2]}, "c", "The audience has no column 'c'; its columns are a, b."),
        ({"5": [1]}, None, "The column name '5' is also a customer id; set the parameter column to it."),
        ({"id": [1.0]}, None, "The column 'id' has type double; customers must be integers or strings."),
        ({"id": [True]}, None, "The column 'id' has type bool; customers must be integers or strings."),
        ({"id": [{"id": 1}]}, "id.id", "The audience has no column 'id.id'; its columns are id."),
        ({"id": pa.array([Decimal("1.5")])}, None, "The column 'id' has type decimal128(2, 1); "),
    ],
)  # fmt: skip
def test_column_errors_have_a_clear_message(
    columns: Mapping[str, Any], column: str | None, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(packed(columns), column)
    [field_error] = caught.value.field_errors()
    assert (field_error.code, field_error.reference) == (400, "column")
    assert field_error.message.startswith(message)


@pytest.mark.parametrize(
    ("columns", "column", "code", "reference"),
    [
        ({"a": [1]}, "\0ü;-c", 400, "column"),
        ({"a": [1]}, "c" * 1001, 400, "column"),
        ({"id": pa.array([], pa.int64())}, "id", 812, "audience"),
    ],
)
async def test_and_the_answer_says_it(
    org: Org, columns: Mapping[str, Any], column: str, code: int, reference: str
) -> None:
    answer = await send(org, packed(columns), asked(await org.make_badge(), column=column))
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["code"], error["reference"]) == (code, reference)


def encrypted() -> bytes:
    """Return a file with the magic bytes of an encrypted footer."""
    sound = packed({"id": IDS})
    return b"PARE" + sound[4:-4] + b"PARE"


def lying() -> bytes:
    """Its footer says that it has more rows than there are."""
    sound = packed({"id": pa.array(range(1, 51))}, write_statistics=False, store_schema=False)
    footer = -8 - int.from_bytes(sound[-8:-4], "little")
    # 50 is written as 100 wherever rows or values are counted.
    assert sound.count(b"\x16\x64", len(sound) + footer) == 3
    return sound[:footer] + sound[footer:].replace(b"\x16\x64", b"\x16\x66")


SOUND = packed({"id": pa.array(range(1, 5_001))}, row_group_size=1_000)
DAMAGED = {
    "no Parquet": b"customerId\n1\n",
    "empty": b"",
    "cut off": SOUND[: len(SOUND) // 2],
    "without its beginning": SOUND[len(SOUND) // 2 :],
    "a footer beyond the file": SOUND[:-8] + b"\xff\xff\xff\x7fPAR1",
    "damaged inside": SOUND[:40] + b"\xff" * 4_000 + SOUND[4_040:],
    "encrypted": encrypted(),
    "more rows in its footer than there are": lying(),
}
HARMFUL = {
    "cut off": DAMAGED["cut off"],
    "damaged inside": DAMAGED["damaged inside"],
    "a page that unpacks to a gigabyte": packed(
        {"id": pa.array(["0" * (1 << 30)])}, compression="zstd", use_dictionary=False, write_statistics=False
    ),
}


@pytest.mark.parametrize("kind", list(DAMAGED))
def test_damaged_file_is_rejected(kind: str) -> None:
    with pytest.raises(Exception, match=r".+"):
        read(DAMAGED[kind])


@pytest.mark.parametrize("kind", list(HARMFUL))
async def test_a_file_that_cannot_be_read_is_refused_and_leaves_nothing(org: Org, kind: str) -> None:
    badge_id = await org.make_badge()
    params = asked(badge_id, requestId=f"harm by {kind}")
    answer = await send(org, HARMFUL[kind], params)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, 400), answer.text
    assert "cannot be read as Parquet" in answer.text
    again = await send(org, packed({"id": IDS}), params)
    assert again.status_code == 202, "the request id is free"
    assert (await issued(org, again)).counts.issued == 3


async def test_randomly_damaged_file_is_read_or_rejected() -> None:
    chance = np.random.default_rng(3)

    async def send_damaged() -> None:
        content = bytearray(SOUND)
        for place in chance.integers(0, len(content), 5):
            content[place] ^= 1 << int(chance.integers(0, 8))
        with suppress(InvalidInput):
            assert await unpacked(bytes(content))

    await asyncio.gather(*(send_damaged() for _ in range(4)))


async def test_file_that_expands_too_much_is_rejected() -> None:
    content = packed({"id": pa.array(["9" * 100] * 1_000_000)})
    assert len(content) < 100_000
    with pytest.raises(BodyTooLarge, match="COCKADE_MAX_AUDIENCE_BYTES"):
        await unpacked(content, bytes_max=1_000_000)


async def test_aborted_upload_leaves_no_files_and_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    lines = parquet.as_csv(sent(packed({"id": pa.array(range(1, 500_001))})), None, 1 << 30)
    assert (await anext(lines)).startswith(b"id\n")
    [running] = unpackers()
    await lines.aclose()
    assert not running.is_running()
    assert os.listdir(tmp_path) == []


async def test_where_the_extra_is_not_installed_the_answer_names_it(
    org: Org, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = await send(org, packed({"id": IDS}), asked(await org.make_badge()))
    assert answer.status_code == 415
    [error] = answer.json()["errors"]
    assert (error["code"], "cockade[parquet]" in error["message"]) == (415, True)
