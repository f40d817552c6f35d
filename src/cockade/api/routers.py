"""The routes of all resources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from litestar.handlers import HTTPRouteHandler

from cockade.api.audit import routes as audit
from cockade.api.badge import routes as badge
from cockade.api.badge_import import routes as badge_import
from cockade.api.customer import routes as customer
from cockade.api.customer_badge import routes as customer_badge
from cockade.api.earning import routes as earning
from cockade.api.enrolment import routes as enrolment
from cockade.api.event import routes as event
from cockade.api.health import routes as health
from cockade.api.holder import routes as holder
from cockade.api.idempotency import IdempotentOperation, accepts_keys
from cockade.api.job import routes as job
from cockade.api.metadata import routes as metadata
from cockade.api.request import routes as request
from cockade.api.token import routes as token
from cockade.api.webhook import routes as webhook
from cockade.api.window_cycle import routes as window_cycle

if TYPE_CHECKING:
    from litestar.types import ControllerRouterHandler

RESOURCES: list[ControllerRouterHandler] = [
    earning.earn_bulk,
    earning.earn,
    earning.revoke_earn,
    enrolment.issue_bulk,
    enrolment.revoke_issue,
    customer_badge.get_customer_badges,
    customer_badge.list_managed_badges,
    customer_badge.get_managed_badge,
    holder.list_holders,
    holder.explain,
    window_cycle.get_fixed_window_details,
    job.create_job,
    job.list_jobs,
    job.get_job,
    job.pause_job,
    job.resume_job,
    job.cancel_job,
    job.get_job_results,
    job.get_job_refused,
    badge_import.import_customer_badges,
    badge_import.import_customer_badges_by_put,
    request.get_request,
    request.revoke_request,
    badge.create_badge,
    badge.update_badge,
    badge.get_badge,
    badge.list_badges,
    badge.activate_badge,
    badge.deactivate_badge,
    badge.claim_badge,
    badge.unclaim_badge,
    metadata.create_group,
    metadata.update_group,
    metadata.get_group,
    metadata.list_groups,
    metadata.create_field,
    metadata.update_field,
    metadata.get_field,
    metadata.list_fields,
    metadata.create_org_meta,
    metadata.update_org_meta,
    metadata.get_org_meta,
    customer.put_identifiers,
    customer.erase_customer,
    customer.merge_customers,
    audit.list_audit,
    event.list_events,
    webhook.create_webhook,
    webhook.list_webhooks,
    webhook.get_webhook,
    webhook.update_webhook,
    webhook.delete_webhook,
    webhook.rotate_webhook_secret,
    webhook.test_webhook,
    webhook.list_deliveries,
]
"""Routes below the base path. They need authentication."""

PUBLIC: list[ControllerRouterHandler] = [
    token.generate_token,
    token.issue_token,
    health.healthz,
    health.readyz,
    health.read_metrics,
]
"""Routes without authentication."""

for _handler in RESOURCES:
    if isinstance(_handler, HTTPRouteHandler) and accepts_keys(_handler):
        _handler.operation_class = IdempotentOperation
