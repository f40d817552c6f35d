-- name: find_holders
-- Of the customers $2, those who ever had badge $1: their highest ordinal and how many unrevoked ones they have; of those
-- that are valid at some time in [$3, $4), each customer's that ends last; and the event dates in [$5, $6) that count
-- towards windows. All in one statement, so that a limit is not judged by one moment and named by another, and in one row:
-- each column of what was found is one value, its numbers end to end, which a client reads at once.
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
-- The same without what needs all that they ever had: of each customer one row is read, her first eight where there are
-- windows, and of the others those within the windows.
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
-- Of customers $2 of badges $1, pair by pair, those who ever had the badge: the highest ordinal, and of the unrevoked ones
-- that are valid at some time in [$3, $4) the one that ends last. $5 tells the caller which request a pair belongs to.
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
-- The same for customers $2 of badges $1, side by side.
select input.badge_key, input.customer_id, last.ordinal
from unnest($1::integer[], $2::bigint[]) as input (badge_key, customer_id)
cross join lateral (select e.ordinal from earned_badge e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                    order by e.ordinal desc limit 1) last;

-- name: revoke
-- Only what is valid now, or will be; the row stays.
update earned_badge set revoked_at = $5, counted_at = null
where badge_key = $1 and customer_id = $2 and request_key = $3 and line = $4
  and revoked_at is null and valid_until > $5
returning valid_from;

-- name: count_lines
-- Of what request $1 gave these customers of these badges at these lines: how many there are, and how many are unrevoked.
-- Each is looked up by the key of the ledger, whatever the planner knows of that.
select count(*), count(*) filter (where found.revoked_at is null)
from unnest($2::integer[], $3::bigint[], $4::integer[]) as input (badge_key, customer_id, line)
cross join lateral (select e.revoked_at
                    from earned_badge e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                      and e.request_key = $1 and e.line = input.line offset 0) found;

-- name: revoke_lines
-- Revokes them as far as they are not, what has expired too; always in the same order, so that two who do this cannot
-- deadlock. Each is looked up by the key of the ledger, whatever the planner knows of that: lists of one leave no other join.
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
-- Where a badge gets its first window per customer.
update earned_badge set counted_at = valid_from
where badge_key = $1 and revoked_at is null and counted_at is null;

-- name: erase
-- All that customer $2 ever had of badges $1, which are held exclusively.
delete from earned_badge where badge_key = any($1::integer[]) and customer_id = $2
returning badge_key, valid_from, revoked_at is null;

-- name: move
-- All that customer $2 ever had of badges $1, which are held exclusively, becomes customer $3's, in the same order and
-- behind what she has already.
update earned_badge e set customer_id = $3, ordinal = moved.ordinal
from (select had.badge_key, had.ordinal as was,
             row_number() over (partition by had.badge_key order by had.ordinal)
             + coalesce((select max(own.ordinal) from earned_badge own
                         where own.badge_key = had.badge_key and own.customer_id = $3), 0) as ordinal
      from earned_badge had
      where had.badge_key = any($1::integer[]) and had.customer_id = $2) moved
where e.badge_key = moved.badge_key and e.customer_id = $2 and e.ordinal = moved.was
returning e.badge_key;
