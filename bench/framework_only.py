"""The baseline "framework only": the service's framework and server, without authentication, rules or a database.

It reads the same body as `earnBulk` and returns the same response. It measures the fixed cost of a request.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from granian.server import Server
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.enums import MediaType

from cockade.api.earning.schemas import EXAMPLE_RESPONSE, EarnBulkBody
from cockade.http.envelope import Envelope
from cockade.http.urls import BASE_PATH

_body = msgspec.json.Decoder(EarnBulkBody).decode
RESPONSE = msgspec.json.encode(
    Envelope(
        msgspec.structs.replace(
            EXAMPLE_RESPONSE,
            issued_badges=EXAMPLE_RESPONSE.issued_badges[:1],
            total_count=1,
            earned_count=1,
            failed_count=0,
        )
    )
)


@post(f"{BASE_PATH}/customer/earnBulk", status_code=200)
async def earn_bulk(request: Request[Any, Any, State]) -> Response[bytes]:
    """Decode the body and return the response to a request with one customer."""
    _body(await request.body())
    return Response(RESPONSE, media_type=MediaType.JSON)


@get("/healthz")
async def healthz() -> dict[str, dict[str, str]]:
    """Return 200 when the server is up."""
    return {"data": {"status": "ok"}}


def app() -> Litestar:
    """Create the app of one worker process."""
    return Litestar([earn_bulk, healthz], openapi_config=None, logging_config=None)


def main(port: int, workers: int) -> None:
    """Serve the app with granian and uvloop, as `cockade serve` does."""
    Server(
        "bench.framework_only:app",
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
