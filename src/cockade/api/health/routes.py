"""Whether the process runs, whether it can serve, and what it has done."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from cockade import __version__, errors, metrics
from cockade.errors import CockadeError, FieldError
from cockade.http.errors import error_responses, failure_response
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
    responses=error_responses(errors.Unavailable),
)
async def readyz(database: NamedDependency[Database]) -> Response[Health]:
    """Asks the database; 503 as long as it does not answer or lacks migrations."""
    try:
        await database.require_ready()
    except CockadeError as error:
        return failure_response(503, [FieldError(503, error.text)])  # pyright: ignore[reportReturnType]
    return Response(Health("ready", __version__))


@get(
    "/metrics",
    operation_id="metrics",
    summary="What the service has done",
    description="For Prometheus, in its text format; the numbers of all worker processes together.",
    tags=["Health"],
    media_type=metrics.CONTENT_TYPE,
    sync_to_thread=True,
)
def read_metrics() -> bytes:
    """Asks for no credentials, as those who collect numbers have none."""
    return metrics.exposition()
