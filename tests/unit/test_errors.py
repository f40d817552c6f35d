"""Every error has an HTTP status, and its code and message are those of the contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cockade import errors
from cockade.errors import FIELD_ERRORS_MAX, CockadeError, FieldError, InvalidInput, RequestRejected
from cockade.http.errors import HEADERS, STATUS

NEVER_ANSWERED = {CockadeError, RequestRejected, errors.LimitReached, errors.RetryLater, errors.SetupError}
"""Base classes are never raised, and setup errors end a command instead of a request."""


def family(root: type[CockadeError]) -> Iterator[type[CockadeError]]:
    yield root
    for child in root.__subclasses__():
        yield from family(child)


def test_every_error_has_a_status() -> None:
    assert set(family(CockadeError)) - NEVER_ANSWERED == set(STATUS)


CONTRACT = [
    (errors.InvalidInput, 400, 400, "The request is malformed."),
    (errors.BadgeNotFound, 404, 404, "Passed badge is not found"),
    (errors.RequestNotFound, 404, 404, "No request with this requestId was executed."),
    (errors.OrgNotFound, 404, 404, "There is no such org."),
    (errors.CredentialNotFound, 404, 404, "There is no such credential."),
    (errors.SigningKeyNotFound, 404, 404, "There is no such signing key."),
    (
        errors.SigningKeyInUse,
        409,
        409,
        "This key signs tokens; create a new one first, with `cockade signing-key rotate`.",
    ),
    (errors.OwnerNotAllowed, 714, 400, "Owner type is not allowed."),
    (errors.NameTaken, 725, 400, "Badge name cannot be duplicate."),
    (errors.BadgeIdTaken, 400, 400, "This id is already used by another badge."),
    (errors.ClaimNotFound, 737, 400, "Claim not found in existing claims."),
    (errors.EventInFuture, 750, 400, "Earn event date should not be in future."),
    (errors.RequestIdUsed, 809, 400, "Request with the same requestId is not allowed."),
    (errors.NotClaimed, 810, 409, "The badge needs to be claimed first using the claim badge API."),
    (errors.NotEnrolled, 811, 409, "Badge issue is mandatory before earn."),
    (errors.AlreadyHeld, 1040, 409, "An active issue for the badge already exists."),
    (errors.NotEarned, 814, 409, "Active earn instance is not present."),
    (errors.NotLive, 815, 409, "Badge is not live."),
    (errors.EventOutsideBadge, 816, 409, "Event date is not in duration of badge meta."),
    (errors.GroupNotFound, 404, 404, "There is no such badge group."),
    (errors.CustomFieldNotFound, 404, 404, "There is no such custom field."),
    (errors.OrgMetaNotFound, 404, 404, "The org has no org meta yet; create it with POST /orgMeta."),
    (errors.CustomerNotFound, 404, 404, "No customer has this identifier."),
    (errors.JobNotFound, 404, 404, "There is no such job."),
    (errors.JobNotEnded, 409, 409, "The job has not ended."),
    (errors.JobEnded, 409, 409, "The state of the job does not allow this."),
    (
        errors.JobFilesDeleted,
        410,
        410,
        "The files of this job have been deleted; its counts are still available.",
    ),
    (
        errors.UploadSuperseded,
        409,
        409,
        "The upload was stopped: the job was cancelled, or a new upload with the same request id was started.",
    ),
    (
        errors.BadgeChanged,
        409,
        409,
        "The badge was changed after you read it; read it again and repeat the change.",
    ),
    (errors.CustomFieldNameTaken, 409, 409, "This name is already used by another custom field."),
    (errors.OrgMetaExists, 409, 409, "The org already has an org meta; change it with PUT /orgMeta."),
    (errors.WebhookNotFound, 404, 404, "There is no such webhook."),
    (
        errors.TooManyWebhooks,
        409,
        409,
        "The org has reached the maximum of 100 webhooks; delete one first.",
    ),
    (
        errors.EnrolmentNotSupported,
        400,
        400,
        "The badge has earn type EARN; enrolment is not supported.",
    ),
    (errors.CustomerLimitReached, 817, 409, "Customer earn limit reached."),
    (errors.BadgeLimitReached, 818, 409, "Badge earn limit reached."),
    (
        errors.TooManyFailedLogins,
        429,
        429,
        "Too many failed sign-ins for this username or from this address. Try again later.",
    ),
    (
        errors.RateLimitExceeded,
        429,
        429,
        "The rate limit of this credential is reached for this minute. Nothing was changed.",
    ),
    (errors.UsernameTaken, 409, 409, "This name is already used by another credential."),
    (
        errors.NotAuthenticated,
        401,
        401,
        "Authentication is required: send Basic credentials or an OAuth token.",
    ),
    (
        errors.ServiceBusy,
        503,
        503,
        "The request timed out waiting for other requests. Nothing was changed; send the same request again.",
    ),
    (
        errors.PartiallyCompleted,
        503,
        503,
        "The database stopped responding when the request was partly done. Send the same request again to continue.",
    ),
    (
        errors.IdempotencyKeyInUse,
        409,
        409,
        "A request with this idempotency key is still running. Send it again in a moment to get its result.",
    ),
    (
        errors.IdempotencyKeyReused,
        422,
        422,
        "This idempotency key was used for a different request. Use a new key for each request; nothing was changed.",
    ),
    (errors.Unexpected, 999999, 500, "Unexpected error."),
    (
        errors.BodyTooLarge,
        413,
        413,
        "The request body is too large (COCKADE_MAX_BODY_BYTES); send several smaller requests.",
    ),
    (
        errors.BodyTimeout,
        408,
        408,
        "The request body did not arrive in time (COCKADE_BODY_TIMEOUT_S). Nothing was changed.",
    ),
    (
        errors.UnsupportedContentEncoding,
        415,
        415,
        "The request body has a Content-Encoding; send it without compression.",
    ),
    (
        errors.ParquetNotInstalled,
        415,
        415,
        "This server cannot read Parquet, because the extra cockade[parquet] is not installed. Send the audience as text/csv or application/x-ndjson.",
    ),
    (errors.PermissionDenied, 403, 403, "The access group of this credential only allows reading."),
    (
        errors.Unavailable,
        503,
        503,
        "The database is unavailable. Nothing was changed; send the same request again.",
    ),
    (
        errors.OutcomeUnknown,
        503,
        503,
        "The database stopped responding during the commit, so the outcome is unknown. Look it up with GET /api_gateway/v1/badges/requests?requestId=… before sending anything again.",
    ),
]


@pytest.mark.parametrize(("kind", "code", "status", "message"), CONTRACT)
def test_codes_statuses_and_messages_are_those_of_the_contract(
    kind: type[CockadeError], code: int, status: int, message: str
) -> None:
    assert (kind.code, STATUS[kind], kind.message) == (code, status, message)


def test_every_error_with_a_status_has_a_row() -> None:
    assert {row[0] for row in CONTRACT} == set(STATUS)


def test_error_is_reported_as_one_field_error() -> None:
    assert errors.NameTaken(reference="name").field_errors() == [
        FieldError(725, "Badge name cannot be duplicate.", "name")
    ]
    assert errors.NotAuthenticated("The token has expired.").field_errors() == [
        FieldError(401, "The token has expired.", None)
    ]


def test_invalid_input_reports_the_first_hundred_errors() -> None:
    field_errors = [FieldError(400, f"Fault {number}") for number in range(FIELD_ERRORS_MAX + 1)]
    assert InvalidInput(field_errors).field_errors() == field_errors[:FIELD_ERRORS_MAX]
    assert str(InvalidInput(field_errors)) == "Fault 0"
    assert InvalidInput([]).field_errors() == []


def test_503_has_retry_after_and_401_has_both_schemes() -> None:
    assert int(HEADERS[503]["Retry-After"]) > 0
    assert {
        scheme.split()[0] for scheme in HEADERS[401]["WWW-Authenticate"].split(", ") if "realm" in scheme
    } == {
        "Basic",
        "Bearer",
    }
