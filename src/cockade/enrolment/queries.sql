-- name: find_enrollees
-- Customers $2 who were ever enrolled in badge $1: their highest ordinal, and the unrevoked enrolment overlapping [$3,
-- $4) that ends last.
select distinct on (customer_id)
       customer_id,
       max(ordinal) over (partition by customer_id) as last_ordinal,
       stands, request_key, line, valid_until
from (select customer_id, ordinal, request_key, line, valid_until,
             revoked_at is null and valid_from < $4 and valid_until > $3 as stands
      from enrolment
      where badge_key = $1 and customer_id = any($2::bigint[])) enrolled
order by customer_id, stands desc, valid_until desc, ordinal desc;

-- name: find_holding
-- Customers $2 with an unrevoked enrolment in badge $1 whose window contains $3; of several the one that ends last.
select distinct on (customer_id) customer_id, request_key, line, valid_until
from enrolment
where badge_key = $1 and customer_id = any($2::bigint[])
  and revoked_at is null and valid_from <= $3 and valid_until > $3
order by customer_id, valid_until desc, ordinal desc;

-- name: revoke_all
-- Revokes all active enrolments of customers $2 in badge $1.
update enrolment set revoked_at = $3
where badge_key = $1 and customer_id = any($2::bigint[]) and revoked_at is null and valid_until > $3
returning customer_id, request_key, line;

-- name: revoke_some
-- Revokes these enrolments in badge $1 if they are active.
update enrolment n set revoked_at = $5
from unnest($2::bigint[], $3::bigint[], $4::integer[]) as input (customer_id, request_key, line)
where n.badge_key = $1 and n.customer_id = input.customer_id
  and n.request_key = input.request_key and n.line = input.line
  and n.revoked_at is null and n.valid_until > $5
returning n.customer_id, n.request_key, n.line;

-- name: count_lines
-- Number of these lines of request $1, and of unrevoked ones. The lateral join forces a lookup by primary key per line.
select count(*), count(*) filter (where found.revoked_at is null)
from unnest($2::integer[], $3::bigint[], $4::integer[]) as input (badge_key, customer_id, line)
cross join lateral (select e.revoked_at
                    from enrolment e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                      and e.request_key = $1 and e.line = input.line offset 0) found;

-- name: revoke_lines
-- Revokes those that are not revoked yet, expired ones too. The fixed order prevents deadlocks. Arrays with one element
-- force lookups by primary key, whatever the planner estimates.
with revoked as (
    update enrolment e set revoked_at = $5
    from (select badge_key, customer_id, line
          from unnest($2::integer[], $3::bigint[], $4::integer[]) as input (badge_key, customer_id, line)
          order by badge_key, customer_id, line offset 0) input
    where e.badge_key = any(array[input.badge_key]) and e.customer_id = any(array[input.customer_id])
      and e.request_key = $1 and e.line = input.line and e.revoked_at is null
    returning e.badge_key, e.customer_id, e.line)
select badge_key, array_agg(customer_id order by line), array_agg(line order by line)
from revoked group by badge_key;

-- name: erase
-- Deletes all enrolments of customer $2 in badges $1. Needs their exclusive locks.
delete from enrolment where badge_key = any($1::integer[]) and customer_id = $2
returning badge_key, revoked_at is null;

-- name: move
-- Gives all enrolments of customer $2 in badges $1 to customer $3, in the same order and after those that $3 has. Needs
-- their exclusive locks.
update enrolment e set customer_id = $3, ordinal = moved.ordinal
from (select had.badge_key, had.ordinal as was,
             row_number() over (partition by had.badge_key order by had.ordinal)
             + coalesce((select max(own.ordinal) from enrolment own
                         where own.badge_key = had.badge_key and own.customer_id = $3), 0) as ordinal
      from enrolment had
      where had.badge_key = any($1::integer[]) and had.customer_id = $2) moved
where e.badge_key = moved.badge_key and e.customer_id = $2 and e.ordinal = moved.was
returning e.badge_key;
