-- name: begin_request
-- Returns no row if the id is used. Waits for a running transaction with the same id.
insert into request (org_id, request_id, request_key, kind)
values ($1, $2, (($3::bigint % 4294967296) << 32) | nextval('request_number'), $4)
on conflict (org_id, request_id) do nothing
returning request_key;

-- name: begin_requests
-- As begin_request, for many ids. The fixed order prevents deadlocks. Ids that are used have no row in the result.
insert into request (org_id, request_id, request_key, kind)
select org_id, request_id, (($4::bigint % 4294967296) << 32) | nextval('request_number'), kind
from (select org_id, request_id, kind
      from unnest($1::integer[], $2::text[], $3::text[]) as input (org_id, request_id, kind)
      order by org_id, request_id offset 0) sorted
on conflict (org_id, request_id) do nothing
returning org_id, request_id, request_key;

-- name: release_requests
-- Deletes ids that this transaction inserted, so no other transaction has seen them.
delete from request r
using unnest($1::integer[], $2::text[]) as input (org_id, request_id)
where r.org_id = input.org_id and r.request_id = input.request_id;

-- name: complete_request
-- Stores the outcome and its outbox row. One statement saves a round trip.
with queued as (insert into outbox (org_id, at, request_key) values ($1, $3, $12))
update request
set completed_at = $3, badge_key = $4, owner_type = $5, reference_id = $6, event_at = $7, valid_until = $8,
    customer_ids = $9, failures = $10, enrolment_id = $11
where org_id = $1 and request_id = $2;

-- name: complete_requests
-- As complete_request, for many requests.
with queued as (insert into outbox (org_id, at, request_key)
              select org_id, $1, request_key from unnest($2::integer[], $10::bigint[]) as d (org_id, request_key))
update request r
set completed_at = $1, badge_key = d.badge_key, owner_type = d.owner_type, reference_id = d.reference_id,
    event_at = d.event_at, valid_until = d.valid_until, customer_ids = d.customer_ids::bigint[], failures = d.failures::json
from unnest($2::integer[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
            $9::text[], $11::text[])
     as d (org_id, request_id, badge_key, owner_type, reference_id, event_at, valid_until, customer_ids, failures)
where r.org_id = d.org_id and r.request_id = d.request_id;

-- name: complete_import
-- As complete_request, for an import, whose rows have badges and expiries of their own.
with queued as (insert into outbox (org_id, at, request_key) values ($1, $3, $9))
update request
set completed_at = $3, owner_type = $4, badge_keys = $5, customer_ids = $6, valid_untils = $7, failures = $8
where org_id = $1 and request_id = $2;

-- name: find_request
select r.request_id, r.request_key, r.kind, r.badge_key, b.badge_id, r.owner_type, r.reference_id, r.event_at,
       r.valid_until, r.completed_at, r.customer_ids, r.failures, r.enrolment_id, r.badge_keys, r.valid_untils
from request r left join badge b using (badge_key)
where r.org_id = $1 and r.request_id = $2;

-- name: find_requests_by_key
select r.request_id, r.request_key, r.kind, r.badge_key, b.badge_id, r.owner_type, r.reference_id, r.event_at,
       r.valid_until, r.completed_at, r.customer_ids, r.failures, r.enrolment_id, r.badge_keys, r.valid_untils
from request r left join badge b using (badge_key)
where r.org_id = $1 and r.request_key = any($2::bigint[]);

-- name: is_request_id_used
select exists (select from request where org_id = $1 and request_id = $2);

-- name: list_customers
-- Lines $3 to $4, counted from 1.
select customer_ids[$3:$4] from request where org_id = $1 and request_id = $2;

-- name: badge_ids
select badge_key, badge_id from badge where badge_key = any($1::integer[]);

-- name: replace_customer
-- Replace customer $2 by $3 in all requests of the org. No index finds them: all rows of the org are read.
with replaced as (update request set customer_ids = array_replace(customer_ids, $2::bigint, $3::bigint)
                  where org_id = $1 and $2::bigint = any(customer_ids) returning 1)
select count(*) from replaced;
