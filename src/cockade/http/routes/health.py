"""Whether the process runs, and whether it can serve."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from cockade import __version__, errors
from cockade.errors import CockadeError, Fault
from cockade.http.errors import answer_failure, documented
from cockade.storage.database import Database


class Health(Struct, frozen=True):
    """A sign of life."""

    status: str
    version: str


@get("/healthz", operation_id="healthz", summary="The process runs", tags=["Health"])
async def healthz() -> Health:
    """Asks nobody; answers as long as the process can."""
    return Health("ok", __version__)


@get(
    "/readyz",
    operation_id="readyz",
    summary="The service can serve",
    tags=["Health"],
    responses=documented(errors.Unavailable),
)
async def readyz(database: NamedDependency[Database]) -> Response[Health]:
    """Asks the database; 503 as long as it does not answer or lacks migrations."""
    try:
        await database.require_ready()
    except CockadeError as error:
        return answer_failure(503, [Fault(503, error.text)])  # pyright: ignore[reportReturnType]
    return Response(Health("ready", __version__))
