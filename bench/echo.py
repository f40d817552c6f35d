"""The echo: the same framework and server, reading the same body and answering the same one, without a database.

It knows no caller and decides nothing: what a request costs before anything is done for it.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from cockade.http.earnings import EXAMPLE_ANSWER, EarnBulkBody
from cockade.http.paths import BASE_PATH
from cockade.http.wire import Envelope
from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.enums import MediaType

_body = msgspec.json.Decoder(EarnBulkBody).decode
ANSWER = msgspec.json.encode(
    Envelope(
        msgspec.structs.replace(
            EXAMPLE_ANSWER,
            issued_badges=EXAMPLE_ANSWER.issued_badges[:1],
            total_count=1,
            earned_count=1,
            failed_count=0,
        )
    )
)


@post(f"{BASE_PATH}/customer/earnBulk", status_code=200)
async def earn_bulk(request: Request[Any, Any, State]) -> Response[bytes]:
    """Read the body, and answer what a call with one customer is answered."""
    _body(await request.body())
    return Response(ANSWER, media_type=MediaType.JSON)


@get("/healthz")
async def healthz() -> dict[str, dict[str, str]]:
    """Whether it is there."""
    return {"data": {"status": "ok"}}


def app() -> Litestar:
    """What each worker process runs."""
    return Litestar([earn_bulk, healthz], openapi_config=None, logging_config=None)


def main(port: int, workers: int) -> None:
    """Serve as `cockade serve` does."""
    Server(
        "bench.echo:app",
        factory=True,
        interface=Interfaces.ASGI,
        address="127.0.0.1",
        port=port,
        workers=workers,
        loop=Loops.uvloop,
        websockets=False,
        log_level=LogLevels.error,
    ).serve()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
