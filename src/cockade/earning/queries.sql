-- name: find_holders
-- Customers $2 who ever had badge $1: their highest ordinal and number of unrevoked rows; per customer the unrevoked
-- row valid at some time in [$3, $4) that ends last; and event dates in [$5, $6) for windows. One statement, so that
-- all facts come from one snapshot. One row: each column is the concatenation of binary numbers, which the client
-- decodes at once.
with every as materialized (
    select customer_id, ordinal, request_key, line, valid_from, valid_until, revoked_at is null as counts, counted_at
    from earned_badge
    where badge_key = $1 and customer_id = any($2::bigint[]))
select *
from (select string_agg(int8send(customer_id), ''), string_agg(int4send(ordinal), ''), string_agg(int8send(total), '')
      from (select customer_id, max(ordinal) as ordinal, count(*) filter (where counts) as total
            from every group by customer_id) each) held,
     (select string_agg(int8send(customer_id), ''), string_agg(int8send(request_key), ''),
             string_agg(int4send(line), ''),
             string_agg(timestamptz_send(valid_from), ''), string_agg(timestamptz_send(valid_until), '')
      from (select distinct on (customer_id) customer_id, request_key, line, valid_from, valid_until
            from every where counts and valid_from < $4 and valid_until > $3
            order by customer_id, valid_until desc, ordinal desc) last) standing,
     (select string_agg(int8send(customer_id), ''), string_agg(timestamptz_send(counted_at), '')
      from (select customer_id, counted_at from every
            where counted_at >= $5::timestamptz and counted_at < $6::timestamptz
            order by customer_id, counted_at) event) counted;

-- name: find_last_ordinals
-- As find_holders without conflicts and counts. Reads one row per customer, and for windows the first eight rows by the
-- primary key and the others by the index on event dates.
select *
from (select string_agg(int8send(customer_id), ''), string_agg(int4send(ordinal), '')
      from (select input.customer_id, last.ordinal
            from unnest($2::bigint[]) as input (customer_id)
            cross join lateral (select e.ordinal from earned_badge e
                                where e.badge_key = $1 and e.customer_id = input.customer_id
                                order by e.ordinal desc limit 1) last) each) held,
     (select string_agg(int8send(customer_id), ''), string_agg(timestamptz_send(counted_at), '')
      from (select customer_id, counted_at from earned_badge
            where badge_key = $1 and customer_id = any($2::bigint[]) and ordinal <= 8 and $3::timestamptz is not null
              and counted_at >= $3::timestamptz and counted_at < $4::timestamptz
            union all
            select customer_id, counted_at from earned_badge
            where badge_key = $1 and customer_id = any($2::bigint[]) and ordinal > 8
              and counted_at >= $3::timestamptz and counted_at < $4::timestamptz
            order by customer_id, counted_at) event) counted;

-- name: find_holders_of_many
-- Pairs of badge $1 and customer $2 that exist in the ledger: the highest ordinal, and the unrevoked row valid at some
-- time in [$3, $4) that ends last. $5 is the index of the request that the pair belongs to.
select input.request, input.customer_id, last.ordinal, conflicting.request_key, conflicting.line,
       conflicting.valid_from, conflicting.valid_until
from unnest($1::integer[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::integer[])
     as input (badge_key, customer_id, valid_from, valid_until, request)
cross join lateral (select e.ordinal from earned_badge e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                    order by e.ordinal desc limit 1) last
left join lateral (select e.request_key, e.line, e.valid_from, e.valid_until from earned_badge e
                   where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                     and e.revoked_at is null
                     and e.valid_from < input.valid_until and e.valid_until > input.valid_from
                   order by e.valid_until desc, e.ordinal desc limit 1) conflicting on true;

-- name: find_last_ordinals_of_many
-- Highest ordinals of customers $2 of badges $1, pair by pair.
select input.badge_key, input.customer_id, last.ordinal
from unnest($1::integer[], $2::bigint[]) as input (badge_key, customer_id)
cross join lateral (select e.ordinal from earned_badge e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                    order by e.ordinal desc limit 1) last;

-- name: revoke
-- Revokes the row if it is valid now or will be.
update earned_badge set revoked_at = $5, counted_at = null
where badge_key = $1 and customer_id = $2 and request_key = $3 and line = $4
  and revoked_at is null and valid_until > $5
returning valid_from;

-- name: count_lines
-- Number of these lines of request $1, and of unrevoked ones. The lateral join forces a lookup by primary key per line.
select count(*), count(*) filter (where found.revoked_at is null)
from unnest($2::integer[], $3::bigint[], $4::integer[]) as input (badge_key, customer_id, line)
cross join lateral (select e.revoked_at
                    from earned_badge e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                      and e.request_key = $1 and e.line = input.line offset 0) found;

-- name: revoke_lines
-- Revokes those that are not revoked yet, expired ones too. The fixed order prevents deadlocks. Arrays with one element
-- force lookups by primary key, whatever the planner estimates.
with revoked as (
    update earned_badge e set revoked_at = $5, counted_at = null
    from (select badge_key, customer_id, line
          from unnest($2::integer[], $3::bigint[], $4::integer[]) as input (badge_key, customer_id, line)
          order by badge_key, customer_id, line offset 0) input
    where e.badge_key = any(array[input.badge_key]) and e.customer_id = any(array[input.customer_id])
      and e.request_key = $1 and e.line = input.line and e.revoked_at is null
    returning e.badge_key, e.valid_from, e.customer_id, e.line)
select badge_key, valid_from, array_agg(customer_id order by line), array_agg(line order by line)
from revoked group by badge_key, valid_from;

-- name: mark_counted
-- Runs when a badge gets its first window per customer.
update earned_badge set counted_at = valid_from
where badge_key = $1 and revoked_at is null and counted_at is null;

-- name: erase
-- Deletes all rows of customer $2 for badges $1. Needs their exclusive locks.
delete from earned_badge where badge_key = any($1::integer[]) and customer_id = $2
returning badge_key, valid_from, revoked_at is null;

-- name: move
-- Gives all rows of customer $2 for badges $1 to customer $3, in the same order and after the rows that $3 has. Needs
-- their exclusive locks.
update earned_badge e set customer_id = $3, ordinal = moved.ordinal
from (select had.badge_key, had.ordinal as was,
             row_number() over (partition by had.badge_key order by had.ordinal)
             + coalesce((select max(own.ordinal) from earned_badge own
                         where own.badge_key = had.badge_key and own.customer_id = $3), 0) as ordinal
      from earned_badge had
      where had.badge_key = any($1::integer[]) and had.customer_id = $2) moved
where e.badge_key = moved.badge_key and e.customer_id = $2 and e.ordinal = moved.was
returning e.badge_key;
