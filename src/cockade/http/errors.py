"""Map domain errors to HTTP status codes and error responses."""

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
from cockade.errors import CockadeError, FieldError
from cockade.http.context import get_context
from cockade.http.decoding import describe_types, must_be_one_of
from cockade.http.envelope import Envelope, ErrorEnvelope, error_envelope

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
    errors.JobNotEnded: 409,
    errors.UploadSuperseded: 409,
    errors.JobFilesDeleted: 410,
    errors.BadgeChanged: 409,
    errors.CustomFieldNameTaken: 409,
    errors.OrgMetaExists: 409,
    errors.WebhookNotFound: 404,
    errors.TooManyWebhooks: 409,
    errors.EnrolmentNotSupported: 400,
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
    errors.PermissionDenied: 403,
    errors.BodyTimeout: 408,
    errors.IdempotencyKeyInUse: 409,
    errors.IdempotencyKeyReused: 422,
    errors.TooManyFailedLogins: 429,
    errors.RateLimitExceeded: 429,
    errors.BodyTooLarge: 413,
    errors.UnsupportedContentEncoding: 415,
    errors.ParquetNotInstalled: 415,
    errors.Unavailable: 503,
    errors.ServiceBusy: 503,
    errors.OutcomeUnknown: 503,
    errors.PartiallyCompleted: 503,
}
"""All errors that can reach HTTP. A test checks that none is missing."""

HEADERS: dict[int, dict[str, str]] = {
    401: {"WWW-Authenticate": 'Basic realm="cockade", charset="UTF-8", Bearer realm="cockade"'},
    # The unread rest of the body would be read as the next request.
    408: {"Connection": "close"},
    415: {"Accept-Encoding": "identity"},
    503: {"Retry-After": str(RETRY_AFTER_S)},
}

BODY_ERRORS: tuple[type[CockadeError], ...] = (
    errors.BodyTimeout,
    errors.BodyTooLarge,
    errors.UnsupportedContentEncoding,
)
"""Errors that any request with a body can have."""


def failure_response(
    status: int, field_errors: list[FieldError], headers: dict[str, str] | None = None
) -> Response[bytes]:
    """Return the error envelope as a response."""
    return Response(
        msgspec.json.encode(error_envelope(field_errors)),
        status_code=status,
        media_type=MediaType.JSON,
        headers={**HEADERS.get(status, {}), **(headers or {})},
    )


def on_domain_error(request: AnyRequest, error: CockadeError) -> Response[bytes]:
    """Return the response of a domain error."""
    get_context(request.scope).codes = [field_error.code for field_error in error.field_errors()]
    if isinstance(error, errors.Unavailable):
        get_context(request.scope).cause = repr(error.__cause__)
    wait = {"Retry-After": str(error.retry_after_s)} if isinstance(error, errors.RetryLater) else None
    return failure_response(STATUS[type(error)], error.field_errors(), wait)


def on_http_error(request: AnyRequest, error: HTTPException) -> Response[bytes]:
    """Return the response of an error of the framework, such as a wrong method or an invalid parameter."""
    if isinstance(error, ValidationException):
        return on_domain_error(request, errors.InvalidInput(_parameter_errors(request, error)))
    if error.status_code == STATUS[errors.BodyTooLarge]:
        return on_domain_error(request, errors.BodyTooLarge())
    if error.status_code >= 500:
        return on_unexpected(request, error)
    field_errors = [FieldError(error.status_code, error.detail)]
    return failure_response(error.status_code, field_errors, dict(error.headers or {}))


def on_not_found(request: AnyRequest, _: Exception) -> Response[bytes]:
    """Return the response for an unknown path."""
    return on_http_error(request, NotFoundException())


def on_unexpected(request: AnyRequest, error: Exception) -> Response[bytes]:
    """Return 500 without details, and log the exception."""
    log.error("unexpected error", exc_info=error)
    return on_domain_error(request, errors.Unexpected())


def _parameter_errors(request: AnyRequest, error: ValidationException) -> list[FieldError]:
    """Return one error per parameter, or a single error if the body is missing."""
    items: list[object] = error.extra if isinstance(error.extra, list) else []
    field_errors: list[FieldError] = []
    for item in items:
        if isinstance(item, dict):
            detail = cast("dict[str, object]", item)
            field_errors.append(_parameter_error(request, str(detail.get("key")), str(detail.get("message"))))
    return field_errors or [FieldError(errors.MALFORMED, error.detail)]


def _parameter_error(request: AnyRequest, key: str, message: str) -> FieldError:
    """Return the error of one parameter, with its public name as reference."""
    if key == "data":
        return FieldError(errors.MALFORMED, "The body is empty; it must be a JSON object.")
    for field in request.route_handler.parsed_fn_signature.parameters.values():
        name = getattr(field.kwarg_definition, "name", None) or field.name
        if key in (field.name, name):
            kinds = [kind for kind in (field.annotation, *field.args) if isinstance(kind, type)]
            enumerations = [must_be_one_of(kind) for kind in kinds if issubclass(kind, Enum)]
            return FieldError(
                errors.MALFORMED, enumerations[0] if enumerations else describe_types(message) + ".", name
            )
    return FieldError(errors.MALFORMED, describe_types(message) + ".", key)


COMMON_ERRORS: list[type[CockadeError]] = [
    errors.NotAuthenticated,
    errors.TooManyFailedLogins,
    errors.RateLimitExceeded,
    errors.Unavailable,
    errors.Unexpected,
]


def error_responses(*kinds: type[CockadeError]) -> dict[int, ResponseSpec]:
    """Return the OpenAPI responses for these errors and for the common errors of all operations."""
    by_status: dict[int, list[type[CockadeError]]] = {}
    for kind in (*kinds, *COMMON_ERRORS):
        by_status.setdefault(STATUS[kind], []).append(kind)
    return {
        status: ResponseSpec(
            ErrorEnvelope,
            generate_examples=False,
            description="; ".join(f"{kind.code}: {kind.message}" for kind in kinds_of_status),
            examples=[_example(kind) for kind in kinds_of_status],
        )
        for status, kinds_of_status in by_status.items()
    }


def _example(kind: type[CockadeError]) -> Example:
    field_error = FieldError(kind.code, kind.message)
    # Pass the struct: the framework omits nulls from a dict.
    return Example(summary=kind.__name__, value=error_envelope([field_error]))


def example(summary: str, shape: Any, data: object) -> ResponseSpec:
    """Return the OpenAPI response of a success, with an example."""
    return ResponseSpec(
        shape,
        generate_examples=False,
        description=summary,
        examples=[Example(summary=summary, value=Envelope(data))],
    )
