"""Route handler of the audit trail."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.params import QueryParameter

from cockade import errors
from cockade.api.audit.schemas import EXAMPLE_PAGE, AuditPage, audit_page, read_after
from cockade.api.parameters import Size, read_badge_id, read_time
from cockade.api.schemas import NO_NUL
from cockade.audit.model import Action, EntryFilter
from cockade.audit.service import AuditService
from cockade.http.envelope import Envelope
from cockade.http.errors import error_responses, example
from cockade.http.request import ApiRequest


@get(
    "/audit",
    operation_id="listAudit",
    summary="List audit entries",
    description="All changes of the org's badges, claims, credentials, groups, fields and identifiers, and all revocations, newest first. Send the `next` of a page as `after` to get the next page.",
    tags=["Audit"],
    responses=error_responses(errors.InvalidInput, errors.BadgeNotFound)
    | {200: example("A claim", Envelope[AuditPage], EXAMPLE_PAGE)},
)
async def list_audit(
    request: ApiRequest,
    audit: NamedDependency[AuditService],
    after: Annotated[str | None, QueryParameter(description="The `next` of the previous page.")] = None,
    action: Annotated[
        list[Action] | None, QueryParameter(description="Filter by action. Can be repeated.")
    ] = None,
    badge_meta_id: Annotated[
        str | None, QueryParameter(name="badgeMetaId", description="Filter by badge.")
    ] = None,
    username: Annotated[str | None, QueryParameter(description="Filter by username.", pattern=NO_NUL)] = None,
    since: Annotated[str | None, QueryParameter(name="from", description="At this time or later.")] = None,
    until: Annotated[str | None, QueryParameter(description="Before this time.")] = None,
    size: Size = 10,
) -> Envelope[AuditPage]:
    """Return a page of changes."""
    wanted = EntryFilter(
        org_id=request.user.org_id,
        actions=action or None,
        badge_id=None if badge_meta_id is None else read_badge_id(badge_meta_id),
        username=username,
        since=read_time("from", since),
        until=read_time("until", until),
    )
    return Envelope(audit_page(await audit.list_entries(wanted, read_after(after), size + 1), size))
