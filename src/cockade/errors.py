"""Every error that a whole request can end in; none of them knows HTTP.

A refusal of a single customer is not an error but a value: `cockade.request.model.Refusal`.

CockadeError
├── InvalidInput              the request is malformed; carries every fault found
├── Refused                   the request is well formed, and the rules refuse it as a whole
│   ├── BadgeNotFound 404 · RequestNotFound 404 · OrgNotFound 404 · CredentialNotFound 404 · CustomerNotFound 404
│   ├── GroupNotFound 404 · CustomFieldNotFound 404 · OrgMetaNotFound 404
│   ├── WebhookNotFound 404 · TooManyWebhooks 409
│   ├── SigningKeyNotFound 404 · SigningKeyInUse 409
│   ├── NameTaken 725 · BadgeIdTaken 400 · ClaimNotFound 737 · UsernameTaken 409
│   ├── JobNotFound 404 · JobEnded 409 · NotEnded 409 · AudienceStopped 409 · FilesGone 410
│   ├── BadgeChanged 409 · CustomFieldNameTaken 409 · OrgMetaExists 409
│   ├── RequestIdUsed 809 · NotClaimed 810 · OwnerNotAllowed 714 · NotToBeIssued 400
│   ├── NotEnrolled 811 · AlreadyHeld 1040 · CustomerLimitReached 817 · BadgeLimitReached 818 · NotEarned 814
│   └── NotLive 815 · EventOutsideBadge 816 · EventInFuture 750
├── NotAuthenticated 401 · NotAllowed 403 · BodyTooSlow 408 · BodyTooLarge 413 · KeyReused 422
├── BodyEncoded 415 · ParquetNotInstalled 415
├── TooMany                   not now; carries when again
│   └── TooManyGuesses 429 · TooManyCalls 429 · KeyInUse 409
├── Unavailable 503           the database cannot answer now; nothing was changed
│   ├── Busy 503              another request holds what this one needs, and did not finish in time
│   ├── OutcomeUnknown 503    it stopped answering during a commit; the caller is told how to find out
│   └── Unfinished 503        it stopped answering half way through what may be done in steps
├── Unexpected 999999         a bug; the caller learns nothing of it
└── SetupError                an operator has to do something first; the message says what

Codes are those of the contract (`docs/api/contract.md`, "Error codes").
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from msgspec import Struct

MALFORMED = 400
FIELD_ERRORS_MAX = 100
"""A request never reports more faults than this."""


class ExceededLimit(Struct, frozen=True, array_like=True):
    """A limit that has no room left for one more."""

    reference: str
    """The constraint's path: `customerConstraints[1].rollForDays`."""
    limit: int
    """How many earned badges it allows."""
    used: int
    """How many count towards it already, in the window that has no room."""
    available_from: datetime | None
    """The earliest event date that it would let pass, by what is counted now; None: never again."""


class FieldError(Struct, frozen=True):
    """One thing that is wrong with a request."""

    code: int
    """The contract's error code."""
    message: str
    """A sentence for the person who reads it."""
    reference: str | None = None
    """The field's path (`customerIds[3]`), or None for the request as a whole."""
    exceeded: ExceededLimit | None = None
    """On 817 and 818 the limit."""


class CockadeError(Exception):
    """The root; `code` is the contract's, `message` is for people."""

    code: ClassVar[int]
    message: ClassVar[str]

    def __init__(self, message: str | None = None, *, reference: str | None = None) -> None:
        self.text = message or self.message
        self.reference = reference
        super().__init__(self.text)

    def field_errors(self) -> list[FieldError]:
        """The error as the list that the envelope carries."""
        return [FieldError(self.code, self.text, self.reference)]


class InvalidInput(CockadeError):
    """The request is malformed."""

    code = MALFORMED
    message = "The request is malformed."

    def __init__(self, field_errors: list[FieldError]) -> None:
        super().__init__(field_errors[0].message if field_errors else None)
        self._field_errors = field_errors[:FIELD_ERRORS_MAX]

    def field_errors(self) -> list[FieldError]:
        """Every fault found, the first hundred at most."""
        return self._field_errors


class RequestRejected(CockadeError):
    """The request is well formed, and the rules refuse it as a whole."""


class BadgeNotFound(RequestRejected):
    """No such badge in the caller's org."""

    code = 404
    message = "Passed badge is not found"


class RequestNotFound(RequestRejected):
    """The request id was never used, or its request was refused as a whole."""

    code = 404
    message = "No request with this requestId was carried out."


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
    """The newest key signs; without it there would be none."""

    code = 409
    message = "This is the key that signs; make a new one first, with `cockade signing-key rotate`."


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
    """A job cannot be paused, resumed or cancelled as it stands."""

    code = 409
    message = "The job's state does not allow that."


class JobNotEnded(RequestRejected):
    """What a job gave cannot be taken back while it may give more."""

    code = 409
    message = "The job has not ended."


class JobFilesDeleted(RequestRejected):
    """The files of a job are kept for some time only."""

    code = 410
    message = "The files of this job are no longer kept; its counts are."


class UploadSuperseded(RequestRejected):
    """Somebody began to send the audience anew, or cancelled the job, before all of it was there."""

    code = 409
    message = "The audience was not taken: the job was cancelled, or its audience is being sent anew."


class CustomerNotFound(RequestRejected):
    """No customer has this identifier."""

    code = 404
    message = "No customer has this identifier."


class BadgeChanged(RequestRejected):
    """Somebody has changed the badge since the caller read it."""

    code = 409
    message = "The badge has been changed since; read it again and repeat the change."


class CustomFieldNameTaken(RequestRejected):
    """Another custom field of the org has this name."""

    code = 409
    message = "This name is already used by another custom field."


class OrgMetaExists(RequestRejected):
    """The org has its org meta already."""

    code = 409
    message = "The org has its org meta already; change it with PUT /orgMeta."


class WebhookNotFound(RequestRejected):
    """No such webhook in the caller's org."""

    code = 404
    message = "There is no such webhook."


class TooManyWebhooks(RequestRejected):
    """The org has as many webhooks as an org may have."""

    code = 409
    message = "The org has as many webhooks as it may have; delete one first."


class EnrolmentNotSupported(RequestRejected):
    """Enrolling in a badge that is earned directly."""

    code = MALFORMED
    message = "The badge is earned directly (EARN): nobody is enrolled in it."


class NameTaken(RequestRejected):
    """Another badge of the org has this name."""

    code = 725
    message = "Badge name cannot be duplicate."


class BadgeIdTaken(RequestRejected):
    """A migrated badge's id is in use."""

    code = MALFORMED
    message = "This id is already used by another badge."


class ClaimNotFound(RequestRejected):
    """Unclaiming what is not claimed."""

    code = 737
    message = "Claim not found in existing claims."


class UsernameTaken(RequestRejected):
    """Another credential has this name."""

    code = 409
    message = "This name is already used by another credential."


class RequestIdUsed(RequestRejected):
    """The request id was used in this org before."""

    code = 809
    message = "Request with the same requestId is not allowed."


class NotClaimed(RequestRejected):
    """The owner has no active claim with this reference."""

    code = 810
    message = "The badge needs to be claimed first using the claim badge API."


class OwnerNotAllowed(RequestRejected):
    """The owner is not among the badge's owners."""

    code = 714
    message = "Owner type is not allowed."


class NotEnrolled(RequestRejected):
    """The one customer has no enrolment whose window holds the event."""

    code = 811
    message = "Badge issue is mandatory before earn."


class AlreadyHeld(RequestRejected):
    """The one customer has an earned badge that would be valid at the same time."""

    code = 1040
    message = "An active issue for the badge already exists."


class LimitReached(RequestRejected):
    """The one customer would exceed a limit; the fault carries which."""

    def __init__(self, exceeded: ExceededLimit) -> None:
        super().__init__(reference=exceeded.reference)
        self._exceeded = exceeded

    def field_errors(self) -> list[FieldError]:
        """The error with the limit."""
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
    """There is no such earned badge, or it is revoked, or its validity has ended."""

    code = 814
    message = "Active earn instance is not present."


class NotLive(RequestRejected):
    """The badge is switched off, or not live now where no event date was given."""

    code = 815
    message = "Badge is not live."


class EventOutsideBadge(RequestRejected):
    """The earn event lies outside the badge's window, or the validity would end before it begins."""

    code = 816
    message = "Event date is not in duration of badge meta."


class EventInFuture(RequestRejected):
    """The earn event is more than 24 hours ahead."""

    code = 750
    message = "Earn event date should not be in future."


class NotAuthenticated(CockadeError):
    """No credential, a wrong one, or two different ones."""

    code = 401
    message = "Authentication is required: send Basic credentials or an OAuth token."


class PermissionDenied(CockadeError):
    """The access group lacks the right."""

    code = 403
    message = "The access group of this credential may only read."


class BodyTimeout(CockadeError):
    """The request's body did not arrive in time. Nothing was changed."""

    code = 408
    message = "The request body did not arrive in time (COCKADE_BODY_TIMEOUT_S). Nothing was changed."


class RetryLater(CockadeError):
    """Not now: the caller has to wait; the error carries for how long."""

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__()
        self.retry_after_s = retry_after_s


class TooManyFailedLogins(RetryLater):
    """Wrong credentials came too often under this name or from this address; the secret was not even looked at."""

    code = 429
    message = "Wrong credentials came too often under this name or from this address. Try again later."


class RateLimitExceeded(RetryLater):
    """The credential has made all calls that it may make in this minute."""

    code = 429
    message = "This credential has made all calls that it may make in this minute. Nothing was changed."


class IdempotencyKeyInUse(RetryLater):
    """A call with the same idempotency key is still running."""

    code = 409
    message = (
        "A call with this idempotency key is still running. Send it again in a moment to learn its outcome."
    )


class IdempotencyKeyReused(CockadeError):
    """The idempotency key was used for a call that asked for something else."""

    code = 422
    message = "This idempotency key was used for another call. Use a new one for each; nothing was changed."


class BodyTooLarge(CockadeError):
    """The request has more bytes than one may have."""

    code = 413
    message = "The request body is too large (COCKADE_MAX_BODY_BYTES); send it in several calls."


class UnsupportedContentEncoding(CockadeError):
    """The request's body is compressed, or encoded in another way."""

    code = 415
    message = "The request body has a Content-Encoding; send it as it is, without compression."


class ParquetNotInstalled(CockadeError):
    """An audience in Parquet was sent to a service that cannot read it."""

    code = 415
    message = (
        "This service reads no Parquet: its operator has not installed the extra cockade[parquet]. "
        "Send the audience as text/csv or application/x-ndjson."
    )


class Unavailable(CockadeError):
    """The database cannot answer now. Nothing was changed; the same call may be sent again."""

    code = 503
    message = "The database is unavailable. Nothing was changed; send the same request again."


class ServiceBusy(Unavailable):
    """Another request holds the request id or the badge, or all connections are in use, for longer than is waited."""

    message = (
        "Other requests hold what this one needs, and did not finish in time. "
        "Nothing was changed; send the same request again."
    )


class OutcomeUnknown(Unavailable):
    """The connection broke during a commit and the database could not be asked what became of it."""

    message = (
        "The database stopped answering during the commit, so the outcome is unknown. "
        "Ask for it with GET /api_gateway/v1/badges/requests?requestId=… before sending anything again."
    )


class PartiallyCompleted(Unavailable):
    """The database stopped answering when some of what was asked for had been done; the rest may follow."""

    message = (
        "The database stopped answering when some of it had been done. "
        "Send the same request again: it goes on with what is left."
    )


class Unexpected(CockadeError):
    """A bug of ours."""

    code = 999999
    message = "Unexpected error."


class SetupError(CockadeError):
    """An operator has to do something first; the message says what."""

    code = 503
    message = "The service is not set up."
