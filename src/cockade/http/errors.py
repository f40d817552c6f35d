"""One table from domain errors to HTTP statuses, and the answers made of it."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias, cast

import msgspec
import structlog
from litestar import Request, Response
from litestar.datastructures import State
from litestar.enums import MediaType
from litestar.exceptions import HTTPException, NotFoundException, ValidationException
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example

from cockade import errors
from cockade.errors import CockadeError, Fault
from cockade.http import wire
from cockade.http.body import in_words, must_be_one_of
from cockade.http.requests import exchange_of
from cockade.http.wire import Envelope

log = structlog.get_logger()

RETRY_AFTER_S = 2
AnyRequest: TypeAlias = Request[Any, Any, State]

STATUS: dict[type[CockadeError], int] = {
    errors.Unexpected: 500,
    errors.InvalidInput: 400,
    errors.BadgeNotFound: 404,
    errors.RequestNotFound: 404,
    errors.OrgNotFound: 404,
    errors.GroupNotFound: 404,
    errors.CustomFieldNotFound: 404,
    errors.OrgMetaNotFound: 404,
    errors.CustomerNotFound: 404,
    errors.JobNotFound: 404,
    errors.JobEnded: 409,
    errors.NotEnded: 409,
    errors.AudienceStopped: 409,
    errors.FilesGone: 410,
    errors.BadgeChanged: 409,
    errors.CustomFieldNameTaken: 409,
    errors.OrgMetaExists: 409,
    errors.WebhookNotFound: 404,
    errors.TooManyWebhooks: 409,
    errors.NotToBeIssued: 400,
    errors.CustomerLimitReached: 409,
    errors.BadgeLimitReached: 409,
    errors.CredentialNotFound: 404,
    errors.SigningKeyNotFound: 404,
    errors.SigningKeyInUse: 409,
    errors.NameTaken: 400,
    errors.BadgeIdTaken: 400,
    errors.ClaimNotFound: 400,
    errors.UsernameTaken: 409,
    errors.RequestIdUsed: 400,
    errors.NotClaimed: 409,
    errors.OwnerNotAllowed: 400,
    errors.NotEnrolled: 409,
    errors.AlreadyHeld: 409,
    errors.NotEarned: 409,
    errors.NotLive: 409,
    errors.EventOutsideBadge: 409,
    errors.EventInFuture: 400,
    errors.NotAuthenticated: 401,
    errors.NotAllowed: 403,
    errors.BodyTooSlow: 408,
    errors.KeyInUse: 409,
    errors.KeyReused: 422,
    errors.TooManyGuesses: 429,
    errors.TooManyCalls: 429,
    errors.BodyTooLarge: 413,
    errors.BodyEncoded: 415,
    errors.ParquetNotInstalled: 415,
    errors.Unavailable: 503,
    errors.Busy: 503,
    errors.OutcomeUnknown: 503,
    errors.Unfinished: 503,
}
"""Every error that can reach HTTP; a test walks the tree and finds none missing."""

HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": 'Basic realm="cockade", charset="UTF-8", Bearer realm="cockade"'},
    # What is left of the body would be taken for the next request.
    408: {"Connection": "close"},
    415: {"Accept-Encoding": "identity"},
    503: {"Retry-After": str(RETRY_AFTER_S)},
}

BODIES: tuple[type[CockadeError], ...] = (errors.BodyTooSlow, errors.BodyTooLarge, errors.BodyEncoded)
"""What can be wrong with any body, whatever it says."""


def answer_failure(
    status: int, faults: list[Fault], headers: dict[str, str] | None = None
) -> Response[bytes]:
    """The envelope of a failure, encoded."""
    return Response(
        msgspec.json.encode(wire.failure(faults)),
        status_code=status,
        media_type=MediaType.JSON,
        headers={**HEADERS.get(status, {}), **(headers or {})},
    )


def on_domain_error(request: AnyRequest, error: CockadeError) -> Response[bytes]:
    """A domain error by the table."""
    exchange_of(request.scope).codes = [fault.code for fault in error.faults()]
    if isinstance(error, errors.Unavailable):
        exchange_of(request.scope).cause = repr(error.__cause__)
    wait = {"Retry-After": str(error.retry_after_s)} if isinstance(error, errors.TooMany) else None
    return answer_failure(STATUS[type(error)], error.faults(), wait)


def on_http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """What the framework refuses: unknown paths, wrong methods, bodies too large, bad parameters."""
    if isinstance(error, ValidationException):
        return on_domain_error(request, errors.InvalidInput(_parameter_faults(request, error)))
    if error.status_code == STATUS[errors.BodyTooLarge]:
        return on_domain_error(request, errors.BodyTooLarge())
    if error.status_code >= 500:
        return on_unexpected(request, error)
    faults = [Fault(error.status_code, error.detail)]
    return answer_failure(error.status_code, faults, dict(error.headers or {}))


def on_not_found(request: AnyRequest, _: Exception) -> Response[bytes]:
    """There is nothing of this name."""
    return on_http_error(request, NotFoundException())


def on_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """A bug: the caller learns nothing of it, the log learns everything."""
    log.error("unexpected error", exc_info=error)
    return on_domain_error(request, errors.Unexpected())


def _parameter_faults(request: AnyRequest, error: ValidationException) -> list[Fault]:
    """Parameters are reported one by one; a body that is missing altogether is named as such."""
    noted: list[object] = error.extra if isinstance(error.extra, list) else []
    faults: list[Fault] = []
    for item in noted:
        if isinstance(item, dict):
            found = cast("dict[str, object]", item)
            faults.append(_parameter_fault(request, str(found.get("key")), str(found.get("message"))))
    return faults or [Fault(errors.MALFORMED, error.detail)]


def _parameter_fault(request: AnyRequest, key: str, message: str) -> Fault:
    """One fault, under the name that callers know the parameter by."""
    if key == "data":
        return Fault(errors.MALFORMED, "The body is empty; a JSON object is expected.")
    for field in request.route_handler.parsed_fn_signature.parameters.values():
        name = getattr(field.kwarg_definition, "name", None) or field.name
        if key in (field.name, name):
            kinds = [kind for kind in (field.annotation, *field.args) if isinstance(kind, type)]
            enumerations = [must_be_one_of(kind) for kind in kinds if issubclass(kind, Enum)]
            return Fault(errors.MALFORMED, enumerations[0] if enumerations else in_words(message) + ".", name)
    return Fault(errors.MALFORMED, in_words(message) + ".", key)


ALWAYS_POSSIBLE: list[type[CockadeError]] = [
    errors.NotAuthenticated,
    errors.TooManyGuesses,
    errors.TooManyCalls,
    errors.Unavailable,
    errors.Unexpected,
]


def documented(*kinds: type[CockadeError]) -> dict[int, ResponseSpec]:
    """The OpenAPI responses for these errors and for those that every operation can have."""
    by_status: dict[int, list[type[CockadeError]]] = {}
    for kind in (*kinds, *ALWAYS_POSSIBLE):
        by_status.setdefault(STATUS[kind], []).append(kind)
    return {
        status: ResponseSpec(
            wire.Failure,
            generate_examples=False,
            description="; ".join(f"{kind.code}: {kind.message}" for kind in found),
            examples=[_example(kind) for kind in found],
        )
        for status, found in by_status.items()
    }


def _example(kind: type[CockadeError]) -> Example:
    fault = Fault(kind.code, kind.message)
    # The struct itself: the framework would leave the nulls out of a dict.
    return Example(summary=kind.__name__, value=wire.failure([fault]))


def example(summary: str, shape: Any, data: object) -> ResponseSpec:
    """The OpenAPI response of a success, with an example."""
    return ResponseSpec(
        shape,
        generate_examples=False,
        description=summary,
        examples=[Example(summary=summary, value=Envelope(data))],
    )
