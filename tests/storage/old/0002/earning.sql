-- name: find_holders
-- Of the customers $2, those who ever had badge $1: their highest ordinal, how many unrevoked ones they have and, of
-- those that are valid at some time in [$3, $4), the one that ends last; and the event dates in [$5, $6) that count
-- towards windows, ascending. All in one statement, so that a limit is not judged by one moment and named by another.
select held.*, counted.events
from (select distinct on (customer_id)
             customer_id,
             max(ordinal) over (partition by customer_id) as last_ordinal,
             count(*) filter (where revoked_at is null) over (partition by customer_id) as total,
             stands, request_key, line, valid_from, valid_until
      from (select customer_id, ordinal, request_key, line, valid_from, valid_until, revoked_at,
                   revoked_at is null and valid_from < $4 and valid_until > $3 as stands
            from earned_badge
            where badge_key = $1 and customer_id = any($2::bigint[])) every
      order by customer_id, stands desc, valid_until desc, ordinal desc) held
left join (select customer_id, array_agg(counted_at order by counted_at) as events
           from earned_badge
           where badge_key = $1 and customer_id = any($2::bigint[])
             and counted_at >= $5::timestamptz and counted_at < $6::timestamptz
           group by customer_id) counted using (customer_id);

-- name: find_last_ordinals
-- The same without what needs all that they ever had: of each customer one row is read, and those within the windows.
select asked.customer_id, last.ordinal, counted.events
from unnest($2::bigint[]) as asked (customer_id)
cross join lateral (select e.ordinal from earned_badge e
                    where e.badge_key = $1 and e.customer_id = asked.customer_id
                    order by e.ordinal desc limit 1) last
left join (select customer_id, array_agg(counted_at order by counted_at) as events
           from earned_badge
           where badge_key = $1 and customer_id = any($2::bigint[])
             and counted_at >= $3::timestamptz and counted_at < $4::timestamptz
           group by customer_id) counted using (customer_id);

-- name: find_last_ordinals_of_many
-- The same for customers $2 of badges $1, side by side.
select asked.badge_key, asked.customer_id, last.ordinal
from unnest($1::integer[], $2::bigint[]) as asked (badge_key, customer_id)
cross join lateral (select e.ordinal from earned_badge e
                    where e.badge_key = asked.badge_key and e.customer_id = asked.customer_id
                    order by e.ordinal desc limit 1) last;

-- name: revoke
-- Only what is valid now, or will be; the row stays.
update earned_badge set revoked_at = $5, counted_at = null
where badge_key = $1 and customer_id = $2 and request_key = $3 and line = $4
  and revoked_at is null and valid_until > $5
returning valid_from;

-- name: count_by_event
-- Where a badge gets its first window per customer.
update earned_badge set counted_at = valid_from
where badge_key = $1 and revoked_at is null and counted_at is null;
