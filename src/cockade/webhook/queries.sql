-- name: lock_org
-- Serializes the creation of webhooks in one org. No row: the org does not exist.
select org_id from org where org_id = $1 for no key update;

-- name: count_webhooks
select count(*) from webhook where org_id = $1;

-- name: insert_webhook
insert into webhook (
    org_id, webhook_id, url, description, kinds, badge_ids, secret, is_active, position, line, delivered_ahead, failures,
    created_at, created_by, updated_at, updated_by)
values ($1, $2, $3, $4, $5, $6, $7, true, $8, $9, '{}', 0, $10, $11, $10, $11);

-- name: list_webhooks
-- Webhooks of org $1, or only webhook $2, oldest first, with the number of outbox rows after the cursor, counted up to
-- 10,000.
select w.org_id, w.created_at, w.created_by, w.updated_at, w.updated_by, w.webhook_id, w.url, w.description, w.kinds,
       w.badge_ids, w.is_active, w.disabled_reason, w.position, w.line, w.failing_since, w.retry_at,
       (select count(*) from (select from outbox o
                              where o.org_id = w.org_id and o.position >= w.position + (w.line = 2147483647)::integer
                              limit 10000) pending)
from webhook w
where w.org_id = $1 and ($2::text is null or w.webhook_id = $2)
order by w.created_at, w.webhook_id;

-- name: lock_webhook
select webhook_id from webhook where org_id = $1 and webhook_id = $2 for no key update;

-- name: update_webhook
-- Also resets the delivery state: the lease and the retry delay end, and no failures are counted.
update webhook
set url = $3, description = $4, kinds = $5, badge_ids = $6, is_active = $7, disabled_reason = $8, position = $9, line = $10,
    delivered_ahead = case when $11 then '{}' else delivered_ahead end, failures = 0, failing_since = null, retry_at = null,
    lease = null, leased_until = null, updated_at = $12, updated_by = $13
where org_id = $1 and webhook_id = $2;

-- name: rotate_secret
update webhook
set secret = $3, old_secret = secret, old_secret_until = $4, updated_at = $5, updated_by = $6
where org_id = $1 and webhook_id = $2
returning webhook_id;

-- name: find_secrets
select url, secret, old_secret, old_secret_until from webhook where org_id = $1 and webhook_id = $2;

-- name: delete_webhook
with deleted as (delete from webhook where org_id = $1 and webhook_id = $2 returning webhook_id),
     log as (delete from webhook_attempt where org_id = $1 and webhook_id = $2)
select webhook_id from deleted;

-- name: claim
-- Claims at most $4 webhooks that have events to deliver and no valid lease; those with the earliest retry time first.
update webhook w set lease = $1, leased_until = $3
from (select org_id, webhook_id from webhook d
      where d.is_active and (d.retry_at is null or d.retry_at <= $2)
        and (d.leased_until is null or d.leased_until <= $2)
        and (d.line < 2147483647
             or exists (select from outbox o where o.org_id = d.org_id and o.position > d.position))
      order by d.retry_at nulls first, d.org_id, d.webhook_id limit $4
      for no key update skip locked) due
where w.org_id = due.org_id and w.webhook_id = due.webhook_id
returning w.org_id, w.webhook_id, w.url, w.kinds, w.badge_ids, w.secret, w.old_secret, w.old_secret_until, w.position,
          w.line, w.delivered_ahead, w.failures, w.failing_since;

-- name: record_progress
-- No row: another worker has the lease, or the webhook was changed. The progress of the batch is discarded.
update webhook
set position = $4, line = $5, delivered_ahead = $6, failures = $7, failing_since = $8, retry_at = $9,
    is_active = $10::text is null, disabled_reason = $10, leased_until = $11
where org_id = $1 and webhook_id = $2 and lease = $3 and is_active
returning webhook_id;

-- name: release
update webhook set lease = null, leased_until = null where org_id = $1 and webhook_id = $2 and lease = $3;

-- name: list_attempts
-- Newest first, only those before attempt $3.
select attempt_id, at, event_id, kind, status, error, duration_ms
from webhook_attempt
where org_id = $1 and webhook_id = $2 and ($3::bigint is null or attempt_id < $3)
  and (not $4::boolean or error is not null)
order by attempt_id desc limit $5;

-- name: delete_old_attempts
with old as (select org_id, webhook_id, attempt_id from webhook_attempt where at < $1 order by at limit $2),
     deleted as (delete from webhook_attempt a using old
              where a.org_id = old.org_id and a.webhook_id = old.webhook_id and a.attempt_id = old.attempt_id
              returning 1)
select count(*) from deleted;

-- name: find_backlog
-- Summed over all active webhooks, each counted up to 10,000.
select coalesce(sum((select count(*) from (select from outbox o
                                           where o.org_id = w.org_id
                                             and o.position >= w.position + (w.line = 2147483647)::integer
                                           limit 10000) pending)), 0)::bigint,
       count(*) filter (where w.failing_since is not null)
from webhook w where w.is_active;
