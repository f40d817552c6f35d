-- name: drop_baseline
drop table if exists baseline;

-- name: create_baseline
-- An empty copy of earned_badge with the same keys and indexes.
create table baseline (like earned_badge including all);

-- name: list_batches
-- The earned badges of one badge, batch by batch, in the order in which the service wrote them.
select e.* from earned_badge e join badge b using (badge_key)
where b.badge_id = $1
order by e.request_key, e.customer_id;

-- name: create_reference_database
create database reference;

-- name: insert_reference_badge
insert into badge (badge_id, owner_type, reference_id, starts_at, expires_at)
values ($1, 'Loyalty', '123457', $2, $3);

-- name: server_version
show server_version;

-- name: copy_badges
-- Create $2 copies of badge $1. Only ids, numbers and names differ.
insert into badge (
    org_id, badge_id, badge_number, name, starts_at, expires_at, earn_type, earned_expiry, issued_expiry, owners,
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active, has_badge_limit,
    badge_group_id, badge_rank, created_at, created_by, updated_at, updated_by)
select org_id, substr(md5(badge_id || n), 1, 24), badge_number + n, name || ' ' || n, starts_at, expires_at, earn_type,
       earned_expiry, issued_expiry, owners, overlap_policy, customer_constraints, badge_constraints, presentation,
       is_active, has_badge_limit, badge_group_id, badge_rank, created_at, created_by, updated_at, updated_by
from badge, generate_series(1, $2::integer) as n
where badge_id = $1
returning badge_id;

-- name: copy_claims
insert into badge_claim (badge_key, owner_type, reference_id, is_active)
select copy.badge_key, c.owner_type, c.reference_id, c.is_active
from badge_claim c join badge b using (badge_key), badge copy
where b.badge_id = $1 and copy.badge_id = any($2::text[]);

-- name: analyze_badges
analyze badge, badge_claim;

-- name: insert_past_request
-- Insert one request that issued badge $1 to the customers with the indexes $2 … $3.
-- Each index is mapped to an id in the range of $5 ids from $4 on.
with past_request as (
    insert into request (org_id, request_id, request_key, kind, completed_at, badge_key, owner_type, reference_id,
                         event_at, valid_until, customer_ids, failures)
    select org_id, badge_id || '-' || $2::bigint,
           (extract(epoch from starts_at)::bigint << 32) | nextval('request_number'),
           'EARN_BULK', starts_at, badge_key, 'Loyalty', '123457', starts_at, starts_at + interval '100 years', '{}', '[]'
    from badge where badge_id = $1
    returning request_key, badge_key, event_at, valid_until)
insert into earned_badge (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)
select customer.customer_id, past_request.request_key, past_request.event_at, past_request.valid_until,
       past_request.badge_key, 1, customer.line
from past_request
cross join lateral (select $4::bigint + (n * 2654435 + past_request.badge_key * 7919) % $5::bigint as customer_id,
                           n - $2::bigint as line
                    from generate_series($2::bigint, $3::bigint) as n
                    order by customer_id) customer;

-- name: insert_badge_count
insert into badge_count (badge_key, shard, issued, earned)
select badge_key, 0, 0, $2::bigint from badge where badge_id = $1;

-- name: vacuum_earned_badges
vacuum (analyze) earned_badge, request, badge_count;

-- name: truncate_earned_badges
truncate earned_badge, request, badge_count;
