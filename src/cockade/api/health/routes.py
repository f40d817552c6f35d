"""Route handlers of health checks and metrics."""

from __future__ import annotations

from litestar import Response, get
from litestar.di import NamedDependency
from msgspec import Struct

from cockade import __version__, errors, metrics
from cockade.errors import CockadeError, FieldError
from cockade.http.errors import error_responses, failure_response
from cockade.storage.database import Database


class Health(Struct, frozen=True):
    """The response of a health check."""

    status: str
    version: str


@get("/healthz", operation_id="healthz", summary="Liveness check", tags=["Health"])
async def healthz() -> Health:
    """Return 200 if the process is running. Does not use the database."""
    return Health("ok", __version__)


@get(
    "/readyz",
    operation_id="readyz",
    summary="Readiness check",
    tags=["Health"],
    responses=error_responses(errors.Unavailable),
)
async def readyz(database: NamedDependency[Database]) -> Response[Health]:
    """Query the database. Returns 503 if it does not respond or lacks migrations."""
    try:
        await database.require_ready()
    except CockadeError as error:
        return failure_response(503, [FieldError(503, error.text)])  # pyright: ignore[reportReturnType]
    return Response(Health("ready", __version__))


@get(
    "/metrics",
    operation_id="metrics",
    summary="Prometheus metrics",
    description="In the text format of Prometheus, summed over all worker processes.",
    tags=["Health"],
    media_type=metrics.CONTENT_TYPE,
    sync_to_thread=True,
)
def read_metrics() -> bytes:
    """Return the metrics. No authentication, because scrapers usually have none."""
    return metrics.exposition()
