-- name: next_badge_number
-- Runs under the org's lock, so that numbers have no gaps and names are compared one at a time.
select coalesce(max(badge_number), 0) + 1 from badge where org_id = $1;

-- name: lock_org
-- Creates badges of an org one at a time.
select 1 from org where org_id = $1 for no key update;

-- name: insert_badge
-- A duplicate name or id is reported by its constraint's name.
insert into badge (
    org_id, badge_id, badge_number, name, starts_at, expires_at, earn_type, earned_expiry, issued_expiry, owners,
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active, has_badge_limit,
    badge_group_id, badge_rank, created_at, created_by, updated_at, updated_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $19, $20);

-- name: update_badge
-- A duplicate name is reported by its constraint's name.
update badge
set name = $2, starts_at = $3, expires_at = $4, earn_type = $5, earned_expiry = $6, issued_expiry = $7, owners = $8,
    overlap_policy = $9, customer_constraints = $10, badge_constraints = $11, presentation = $12, is_active = $13,
    has_badge_limit = $14, badge_group_id = $15, badge_rank = $16, updated_at = $17, updated_by = $18
where badge_key = $1;

-- name: find_badge
select b.badge_key, b.badge_id, b.badge_number, b.org_id, b.name, b.starts_at, b.expires_at, b.earn_type,
       b.earned_expiry, b.issued_expiry, b.owners, b.overlap_policy, b.customer_constraints, b.badge_constraints,
       b.presentation, b.is_active, b.created_at, b.created_by, b.updated_at, b.updated_by
from badge b
where b.org_id = $1 and b.badge_id = $2;

-- name: find_badges
select b.badge_key, b.badge_id, b.badge_number, b.org_id, b.name, b.starts_at, b.expires_at, b.earn_type,
       b.earned_expiry, b.issued_expiry, b.owners, b.overlap_policy, b.customer_constraints, b.badge_constraints,
       b.presentation, b.is_active, b.created_at, b.created_by, b.updated_at, b.updated_by
from badge b
where b.badge_key = any($1::integer[]);

-- name: list_badges
-- Newest first. A null parameter disables its filter; $12 is the instant for the status filter. Names are compared by
-- bytes, so both sides of the search fold case alike, whatever the collation of the database is.
select b.badge_key, b.badge_id, b.badge_number, b.org_id, b.name, b.starts_at, b.expires_at, b.earn_type,
       b.earned_expiry, b.issued_expiry, b.owners, b.overlap_policy, b.customer_constraints, b.badge_constraints,
       b.presentation, b.is_active, b.created_at, b.created_by, b.updated_at, b.updated_by,
       count(*) over () as total
from badge b
where b.org_id = $1
  and ($2::text is null or $2 = case when $12::timestamptz < b.starts_at then 'UPCOMING'
                                     when $12 < b.expires_at then 'LIVE' else 'EXPIRED' end)
  and ($3::text is null or b.earn_type = $3)
  and ($4::boolean is null or b.is_active = $4)
  and ($5::text is null or $5 = any(b.owners))
  and ($6::text is null or exists (select from badge_claim c
                                   where c.badge_key = b.badge_key and c.owner_type = $6 and c.is_active))
  and ($7::boolean is null or $7 <> exists (select from badge_claim c
                                            where c.badge_key = b.badge_key and c.is_active))
  and ($8::text is null or strpos(lower(b.name), lower($8 collate "C")) > 0)
  and ($9::timestamptz is null or b.starts_at >= $9)
  and ($10::timestamptz is null or b.expires_at <= $10)
order by b.created_at desc, b.badge_key desc
limit $11 offset $13;

-- name: list_claims
select badge_key, owner_type, reference_id, is_active
from badge_claim where badge_key = any($1::integer[])
order by badge_key, owner_type, reference_id;

-- name: lock_badge
-- Held until the transaction ends. Earning takes the lock shared. Changing the badge ($3), or earning one with a badge
-- limit, takes it exclusively. No row: no such badge.
select badge_key, has_badge_limit or $3,
       case when has_badge_limit or $3 then pg_advisory_xact_lock(1, badge_key)
            else pg_advisory_xact_lock_shared(1, badge_key) end
from badge where org_id = $1 and badge_id = $2;

-- name: find_badge_key
select badge_key from badge where org_id = $1 and badge_id = $2;

-- name: lock_badges
-- Like lock_badge, for many badges. They are locked in order of their keys to avoid deadlocks. The OFFSET keeps the
-- planner from calling the lock functions before the rows are sorted.
select badge_key, badge_id, has_badge_limit or $3,
       case when has_badge_limit or $3 then pg_advisory_xact_lock(1, badge_key)
            else pg_advisory_xact_lock_shared(1, badge_key) end
from (select badge_key, badge_id, has_badge_limit from badge
      where org_id = $1 and badge_id = any($2::text[]) order by badge_key offset 0) found;

-- name: try_lock_uncapped_badges
-- Like lock_badges, for badges of many orgs, shared. Badges with a badge limit or an exclusive lock are left out. It
-- never waits, so the order does not matter.
select found.org_id, found.badge_id, found.badge_key
from (select b.org_id, b.badge_id, b.badge_key
      from unnest($1::integer[], $2::text[]) as input (org_id, badge_id)
      join badge b on b.org_id = input.org_id and b.badge_id = input.badge_id
      where not b.has_badge_limit offset 0) found
where pg_try_advisory_xact_lock_shared(1, found.badge_key);

-- name: import_terms
-- Read after the locks are taken.
select badge_key, has_badge_limit, customer_constraints from badge where badge_key = any($1::integer[]);

-- name: earn_terms
-- For each requested badge, owner and reference. Runs after the locks are taken, in its own statement, so that its
-- snapshot includes every change that the lock waited for.
select input.place, b.is_active, b.starts_at, b.expires_at, b.earn_type, b.earned_expiry, b.issued_expiry, b.owners,
       b.overlap_policy, b.customer_constraints, b.badge_constraints,
       exists (select from badge_claim c
               where c.badge_key = b.badge_key and c.owner_type = input.owner_type
                 and c.reference_id = input.reference_id and c.is_active)
from unnest($1::integer[], $2::text[], $3::text[]) with ordinality as input (badge_key, owner_type, reference_id, place)
join badge b on b.badge_key = input.badge_key
order by input.place;

-- name: has_badge_limit
-- Read after the lock is taken, like the terms.
select has_badge_limit from badge where badge_key = $1;

-- name: set_active
update badge set is_active = $2, updated_at = $3, updated_by = $4 where badge_key = $1;

-- name: claim
-- No row: the claim exists already.
insert into badge_claim (badge_key, owner_type, reference_id, is_active) values ($1, $2, $3, true)
on conflict (badge_key, owner_type, reference_id) do update set is_active = true where not badge_claim.is_active
returning badge_key;

-- name: unclaim
update badge_claim set is_active = false
where badge_key = $1 and owner_type = $2 and reference_id = $3 and is_active
returning badge_key;

-- name: add_counts
-- Adds to (or subtracts from) the counts of enrolments and earned badges. Each connection uses its own counter slot as
-- far as possible, and updates it last and in order, so that waits for a slot are short.
insert into badge_count as c (badge_key, shard, issued, earned)
select badge_key, pg_backend_pid() % 16, issued, earned
from unnest($1::integer[], $2::bigint[], $3::bigint[]) as added (badge_key, issued, earned)
order by badge_key
on conflict (badge_key, shard) do update set issued = c.issued + excluded.issued, earned = c.earned + excluded.earned;

-- name: counts
select badge_key, sum(issued)::bigint, sum(earned)::bigint
from badge_count where badge_key = any($1::integer[]) group by badge_key;

-- name: lock_keys
-- Like lock_badge, for many and exclusively, in order of their keys as in lock_badges.
select pg_advisory_xact_lock(1, badge_key)
from (select badge_key from unnest($1::integer[]) as input (badge_key) order by badge_key offset 0) input;
