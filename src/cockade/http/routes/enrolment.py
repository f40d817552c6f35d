"""Enrolling customers and revoking that: the handlers. Their wire structs are in `cockade.http.enrolments`."""

from __future__ import annotations

from typing import Annotated

from litestar import Response, post
from litestar.di import NamedDependency
from litestar.openapi.spec import Example
from litestar.params import Body

from cockade import errors
from cockade.enrolment.model import RevokeIssue
from cockade.enrolment.service import EnrolmentService
from cockade.http.body import Faults
from cockade.http.earnings import AnswerShape, EarnBulkAnswer, EarnedAnswer, answer_outcome
from cockade.http.enrolments import (
    EXAMPLE_ISSUE,
    EXAMPLE_REVOKE,
    IssueBulkBody,
    RevokeIssueAnswer,
    RevokeIssueBody,
    revocation_answer,
    to_issue_command,
    to_revocation,
)
from cockade.http.errors import BODIES, documented
from cockade.http.requests import ApiRequest, JsonBody
from cockade.http.routes.earning import ISSUING, DryRunParameter
from cockade.http.wire import Envelope, ErrorDetail
from cockade.request.model import BulkCommand


@post(
    "/badgeMeta/customer/issueBulk",
    operation_id="issueBulk",
    summary="Enrol many customers in a badge",
    description="Of an ISSUE_EARN badge, which is then earned within the enrolment's window. Answers as earnBulk does, with "
    "enrolments for earned badges.",
    status_code=200,
    tags=["Enrolment"],
    responses=documented(*ISSUING, errors.NotToBeIssued),
)
async def issue_bulk(
    request: ApiRequest,
    data: Annotated[
        JsonBody[IssueBulkBody], Body(examples=[Example(summary="Two customers", value=EXAMPLE_ISSUE)])
    ],
    enrolments: NamedDependency[EnrolmentService],
    dry_run: DryRunParameter = False,
) -> Response[Envelope[EarnBulkAnswer | EarnedAnswer]]:
    """One call, any number of customers."""

    def convert(body: IssueBulkBody, faults: Faults) -> tuple[BulkCommand, list[ErrorDetail]]:
        return to_issue_command(body, request.exchange, request.config, faults)

    command, warnings = data.read(convert)
    request.exchange.is_dry_run = dry_run
    carry_out = enrolments.dry_run_issue_bulk if dry_run else enrolments.issue_bulk
    outcome = await carry_out(request.user, command)
    return answer_outcome(outcome, AnswerShape.ISSUED, warnings)


@post(
    "/badgeMeta/customer/revokeIssue",
    operation_id="revokeIssue",
    summary="Revoke enrolments",
    description="Every active enrolment of the customers, or single ones, or both. What was earned through them stays.",
    status_code=200,
    tags=["Enrolment"],
    responses=documented(errors.InvalidInput, errors.BadgeNotFound, errors.NotAllowed, *BODIES),
)
async def revoke_issue(
    request: ApiRequest,
    data: Annotated[
        JsonBody[RevokeIssueBody], Body(examples=[Example(summary="One customer", value=EXAMPLE_REVOKE)])
    ],
    enrolments: NamedDependency[EnrolmentService],
) -> Envelope[RevokeIssueAnswer]:
    """Enrolments that end now."""

    def convert(body: RevokeIssueBody, faults: Faults) -> RevokeIssue:
        return to_revocation(body, request.config, faults)

    return Envelope(revocation_answer(*await enrolments.revoke(request.user, data.read(convert))))
