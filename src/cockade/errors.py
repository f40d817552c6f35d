"""Errors that reject a request. They know nothing of HTTP.

The failure of a single customer is not an error but a value: `cockade.request.model.CustomerFailure`.

CockadeError
├── InvalidInput              the request is malformed; contains all errors found
├── RequestRejected           the request is well formed, but the rules reject it
│   ├── BadgeNotFound 404 · RequestNotFound 404 · OrgNotFound 404 · CredentialNotFound 404 · CustomerNotFound 404
│   ├── GroupNotFound 404 · CustomFieldNotFound 404 · OrgMetaNotFound 404
│   ├── WebhookNotFound 404 · TooManyWebhooks 409
│   ├── SigningKeyNotFound 404 · SigningKeyInUse 409
│   ├── NameTaken 725 · BadgeIdTaken 400 · ClaimNotFound 737 · UsernameTaken 409
│   ├── JobNotFound 404 · JobEnded 409 · JobNotEnded 409 · UploadSuperseded 409 · JobFilesDeleted 410
│   ├── BadgeChanged 409 · CustomFieldNameTaken 409 · OrgMetaExists 409
│   ├── RequestIdUsed 809 · NotClaimed 810 · OwnerNotAllowed 714 · EnrolmentNotSupported 400
│   ├── NotEnrolled 811 · AlreadyHeld 1040 · CustomerLimitReached 817 · BadgeLimitReached 818 · NotEarned 814
│   └── NotLive 815 · EventOutsideBadge 816 · EventInFuture 750
├── NotAuthenticated 401 · PermissionDenied 403 · BodyTimeout 408 · BodyTooLarge 413 · IdempotencyKeyReused 422
├── UnsupportedContentEncoding 415 · ParquetNotInstalled 415
├── RetryLater                contains the time to wait
│   └── TooManyFailedLogins 429 · RateLimitExceeded 429 · IdempotencyKeyInUse 409
├── Unavailable 503           the database does not respond; nothing was changed
│   ├── ServiceBusy 503           another request holds a lock or all connections for too long
│   ├── OutcomeUnknown 503        a commit was not acknowledged; the message says how to find out
│   └── PartiallyCompleted 503    some steps are done; a retry continues
├── Unexpected 999999         a bug; the response has no details
└── SetupError                an operator has to do something first; the message says what

Codes are those of the contract (docs/reference/errors.md).
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from msgspec import Struct

MALFORMED = 400
FIELD_ERRORS_MAX = 100
"""Maximum number of errors in a response."""


class ExceededLimit(Struct, frozen=True, array_like=True):
    """A limit that would be exceeded."""

    reference: str
    """The constraint's path: `customerConstraints[1].rollForDays`."""
    limit: int
    """Number of earned badges that it allows."""
    used: int
    """Number of earned badges that count towards it, in the window that is full."""
    available_from: datetime | None
    """The earliest event date that it would allow, by what is counted now. None: never."""


class FieldError(Struct, frozen=True):
    """An error in a request."""

    code: int
    """The contract's error code."""
    message: str
    """A sentence for the reader."""
    reference: str | None = None
    """The field's path (`customerIds[3]`), or None for the request as a whole."""
    exceeded: ExceededLimit | None = None
    """The limit, for 817 and 818."""


class CockadeError(Exception):
    """Base class. `code` is the contract's, `message` is the default text."""

    code: ClassVar[int]
    message: ClassVar[str]

    def __init__(self, message: str | None = None, *, reference: str | None = None) -> None:
        self.text = message or self.message
        self.reference = reference
        super().__init__(self.text)

    def field_errors(self) -> list[FieldError]:
        """Return the error as the list of the response envelope."""
        return [FieldError(self.code, self.text, self.reference)]


class InvalidInput(CockadeError):
    """The request is malformed."""

    code = MALFORMED
    message = "The request is malformed."

    def __init__(self, field_errors: list[FieldError]) -> None:
        super().__init__(field_errors[0].message if field_errors else None)
        self._field_errors = field_errors[:FIELD_ERRORS_MAX]

    def field_errors(self) -> list[FieldError]:
        """Return all errors found, at most FIELD_ERRORS_MAX."""
        return self._field_errors


class RequestRejected(CockadeError):
    """The request is well formed, but the rules reject it."""


class BadgeNotFound(RequestRejected):
    """No such badge in the caller's org."""

    code = 404
    message = "Passed badge is not found"


class RequestNotFound(RequestRejected):
    """The request id was never used, or its request was rejected."""

    code = 404
    message = "No request with this requestId was executed."


class OrgNotFound(RequestRejected):
    """No such org."""

    code = 404
    message = "There is no such org."


class CredentialNotFound(RequestRejected):
    """No such credential."""

    code = 404
    message = "There is no such credential."


class SigningKeyNotFound(RequestRejected):
    """No such signing key."""

    code = 404
    message = "There is no such signing key."


class SigningKeyInUse(RequestRejected):
    """The newest key signs tokens, so it cannot be removed."""

    code = 409
    message = "This key signs tokens; create a new one first, with `cockade signing-key rotate`."


class GroupNotFound(RequestRejected):
    """No such group in the caller's org."""

    code = 404
    message = "There is no such badge group."


class CustomFieldNotFound(RequestRejected):
    """No such custom field in the caller's org."""

    code = 404
    message = "There is no such custom field."


class OrgMetaNotFound(RequestRejected):
    """The caller's org has no org meta yet."""

    code = 404
    message = "The org has no org meta yet; create it with POST /orgMeta."


class JobNotFound(RequestRejected):
    """No such job in the caller's org."""

    code = 404
    message = "There is no such job."


class JobEnded(RequestRejected):
    """The state of the job does not allow pause, resume or cancel."""

    code = 409
    message = "The state of the job does not allow this."


class JobNotEnded(RequestRejected):
    """A job that may still issue cannot be undone."""

    code = 409
    message = "The job has not ended."


class JobFilesDeleted(RequestRejected):
    """The files of a job are kept for a limited time."""

    code = 410
    message = "The files of this job have been deleted; its counts are still available."


class UploadSuperseded(RequestRejected):
    """A new upload was started, or the job was cancelled, before the upload was complete."""

    code = 409
    message = (
        "The upload was stopped: the job was cancelled, or a new upload with the same request id was started."
    )


class CustomerNotFound(RequestRejected):
    """No customer has this identifier."""

    code = 404
    message = "No customer has this identifier."


class BadgeChanged(RequestRejected):
    """The badge was changed after the caller read it."""

    code = 409
    message = "The badge was changed after you read it; read it again and repeat the change."


class CustomFieldNameTaken(RequestRejected):
    """Another custom field of the org has this name."""

    code = 409
    message = "This name is already used by another custom field."


class OrgMetaExists(RequestRejected):
    """The org already has an org meta."""

    code = 409
    message = "The org already has an org meta; change it with PUT /orgMeta."


class WebhookNotFound(RequestRejected):
    """No such webhook in the caller's org."""

    code = 404
    message = "There is no such webhook."


class TooManyWebhooks(RequestRejected):
    """The org has reached the maximum number of webhooks."""

    code = 409
    message = "The org has reached the maximum of 100 webhooks; delete one first."


class EnrolmentNotSupported(RequestRejected):
    """The badge has earn type EARN."""

    code = MALFORMED
    message = "The badge has earn type EARN; enrolment is not supported."


class NameTaken(RequestRejected):
    """Another badge of the org has this name."""

    code = 725
    message = "Badge name cannot be duplicate."


class BadgeIdTaken(RequestRejected):
    """The id of a migrated badge is used."""

    code = MALFORMED
    message = "This id is already used by another badge."


class ClaimNotFound(RequestRejected):
    """The claim does not exist or is not active."""

    code = 737
    message = "Claim not found in existing claims."


class UsernameTaken(RequestRejected):
    """Another credential has this username."""

    code = 409
    message = "This name is already used by another credential."


class RequestIdUsed(RequestRejected):
    """The request id was used in this org."""

    code = 809
    message = "Request with the same requestId is not allowed."


class NotClaimed(RequestRejected):
    """The owner has no active claim with this reference."""

    code = 810
    message = "The badge needs to be claimed first using the claim badge API."


class OwnerNotAllowed(RequestRejected):
    """The owner is not among the owners of the badge."""

    code = 714
    message = "Owner type is not allowed."


class NotEnrolled(RequestRejected):
    """The customer has no enrolment whose window contains the event."""

    code = 811
    message = "Badge issue is mandatory before earn."


class AlreadyHeld(RequestRejected):
    """The customer has an earned badge that would be valid at the same time."""

    code = 1040
    message = "An active issue for the badge already exists."


class LimitReached(RequestRejected):
    """The customer would exceed a limit, which the error contains."""

    def __init__(self, exceeded: ExceededLimit) -> None:
        super().__init__(reference=exceeded.reference)
        self._exceeded = exceeded

    def field_errors(self) -> list[FieldError]:
        """Return the error with the limit."""
        return [FieldError(self.code, self.text, self.reference, self._exceeded)]


class CustomerLimitReached(LimitReached):
    """A limit per customer."""

    code = 817
    message = "Customer earn limit reached."


class BadgeLimitReached(LimitReached):
    """A limit of the badge as a whole."""

    code = 818
    message = "Badge earn limit reached."


class NotEarned(RequestRejected):
    """The earned badge does not exist, is revoked, or has expired."""

    code = 814
    message = "Active earn instance is not present."


class NotLive(RequestRejected):
    """The badge is not active, or not live now and no event date was given."""

    code = 815
    message = "Badge is not live."


class EventOutsideBadge(RequestRejected):
    """The earn event is outside the badge's window, or the validity would end before it begins."""

    code = 816
    message = "Event date is not in duration of badge meta."


class EventInFuture(RequestRejected):
    """The earn event is more than 24 hours in the future."""

    code = 750
    message = "Earn event date should not be in future."


class NotAuthenticated(CockadeError):
    """The credential is missing or wrong, or there are two different ones."""

    code = 401
    message = "Authentication is required: send Basic credentials or an OAuth token."


class PermissionDenied(CockadeError):
    """The access group does not allow the operation."""

    code = 403
    message = "The access group of this credential only allows reading."


class BodyTimeout(CockadeError):
    """The request body did not arrive in time."""

    code = 408
    message = "The request body did not arrive in time (COCKADE_BODY_TIMEOUT_S). Nothing was changed."


class RetryLater(CockadeError):
    """The caller has to wait."""

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class TooManyFailedLogins(RetryLater):
    """Too many failed sign-ins for this username or from this address. The secret was not checked."""

    code = 429
    message = "Too many failed sign-ins for this username or from this address. Try again later."


class RateLimitExceeded(RetryLater):
    """The credential has used its requests of this minute."""

    code = 429
    message = "The rate limit of this credential is reached for this minute. Nothing was changed."


class IdempotencyKeyInUse(RetryLater):
    """A request with the same idempotency key is running."""

    code = 409
    message = (
        "A request with this idempotency key is still running. Send it again in a moment to get its result."
    )


class IdempotencyKeyReused(CockadeError):
    """The idempotency key was used for a different request."""

    code = 422
    message = "This idempotency key was used for a different request. Use a new key for each request; nothing was changed."


class BodyTooLarge(CockadeError):
    """The request body is too large."""

    code = 413
    message = "The request body is too large (COCKADE_MAX_BODY_BYTES); send several smaller requests."


class UnsupportedContentEncoding(CockadeError):
    """The request body has a Content-Encoding."""

    code = 415
    message = "The request body has a Content-Encoding; send it without compression."


class ParquetNotInstalled(CockadeError):
    """The server cannot read Parquet."""

    code = 415
    message = "This server cannot read Parquet, because the extra cockade[parquet] is not installed. Send the audience as text/csv or application/x-ndjson."


class Unavailable(CockadeError):
    """The database does not respond. Nothing was changed; the request can be sent again."""

    code = 503
    message = "The database is unavailable. Nothing was changed; send the same request again."


class ServiceBusy(Unavailable):
    """Another request holds the request id or the badge, or all connections are in use, for too long."""

    message = (
        "The request timed out waiting for other requests. Nothing was changed; send the same request again."
    )


class OutcomeUnknown(Unavailable):
    """A commit was not acknowledged, and the database could not be asked for its outcome."""

    message = "The database stopped responding during the commit, so the outcome is unknown. Look it up with GET /api_gateway/v1/badges/requests?requestId=… before sending anything again."


class PartiallyCompleted(Unavailable):
    """The database stopped responding when some steps were done. The rest may follow."""

    message = "The database stopped responding when the request was partly done. Send the same request again to continue."


class Unexpected(CockadeError):
    """A bug."""

    code = 999999
    message = "Unexpected error."


class SetupError(CockadeError):
    """An operator has to do something first. The message says what."""

    code = 503
    message = "The service is not set up."
