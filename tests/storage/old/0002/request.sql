-- name: begin_request
-- Takes the request id. No row: it is used already. Another running transaction with the same id is waited for.
insert into request (org_id, request_id, request_key, kind)
values ($1, $2, (($3::bigint % 4294967296) << 32) | nextval('request_number'), $4)
on conflict (org_id, request_id) do nothing
returning request_key;

-- name: decide_request
-- Stores what became of it, in the transaction that issues.
update request
set decided_at = $3, badge_key = $4, owner_type = $5, reference_id = $6, event_at = $7, valid_until = $8,
    audience = $9, refusals = $10, enrolment_id = $11
where org_id = $1 and request_id = $2;

-- name: decide_import
-- Likewise of an import; its rows have badges and expiries of their own.
update request
set decided_at = $3, owner_type = $4, badge_keys = $5, audience = $6, valid_untils = $7, refusals = $8
where org_id = $1 and request_id = $2;

-- name: find_request
select r.request_id, r.request_key, r.kind, r.badge_key, b.badge_id, r.owner_type, r.reference_id, r.event_at,
       r.valid_until, r.decided_at, r.audience, r.refusals, r.enrolment_id, r.badge_keys, r.valid_untils
from request r left join badge b using (badge_key)
where r.org_id = $1 and r.request_id = $2;

-- name: badge_ids
select badge_key, badge_id from badge where badge_key = any($1::integer[]);
