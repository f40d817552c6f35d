-- name: add_counts
-- Adds to (or subtracts from) the counters of these instants and their hours. Requires the exclusive locks.
insert into badge_limit_counter as t (badge_key, bucket_s, bucket_start, earned)
select badge_key, bucket_s, bucket_start, sum(earned)
from (select badge_key, 0 as bucket_s, bucket_start, earned
      from unnest($1::integer[], $2::timestamptz[], $3::bigint[]) as input (badge_key, bucket_start, earned)
      union all
      select badge_key, 3600, date_trunc('hour', bucket_start, 'UTC'), earned
      from unnest($1::integer[], $2::timestamptz[], $3::bigint[]) as input (badge_key, bucket_start, earned)) added
group by badge_key, bucket_s, bucket_start
on conflict (badge_key, bucket_s, bucket_start) do update set earned = t.earned + excluded.earned;

-- name: sum_windows
-- Earned badges in each window. A window is given in parts: window, badge, bucket size, from, until (half-open).
select w.place, sum(t.earned)::bigint
from unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[])
     as w (place, badge_key, bucket_s, opens, closes)
join badge_limit_counter t on t.badge_key = w.badge_key and t.bucket_s = w.bucket_s and t.bucket_start >= w.opens and t.bucket_start < w.closes
group by w.place;

-- name: list_instants
-- Earned badges of badge $1 at each instant after $2, up to and including $3.
select w.badge_key, t.bucket_start, t.earned
from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[]) as w (badge_key, after, until)
join badge_limit_counter t on t.badge_key = w.badge_key and t.bucket_s = 0 and t.bucket_start > w.after and t.bucket_start <= w.until and t.earned > 0
order by w.badge_key, t.bucket_start;

-- name: find_nth
-- The instant after $2, up to and including $3, at which the $4th badge was earned.
select bucket_start
from (select bucket_start, sum(earned) over (order by bucket_start) as upto
      from (select bucket_start, earned from badge_limit_counter
            where badge_key = $1 and bucket_s = 0 and bucket_start > $2 and bucket_start <= $3 and earned > 0
            order by bucket_start limit $4) oldest) counted
where upto >= $4
order by bucket_start limit 1;

-- name: clear
delete from badge_limit_counter where badge_key = $1;

-- name: rebuild
-- Built from the issuances when a badge gets its first badge limit.
insert into badge_limit_counter (badge_key, bucket_s, bucket_start, earned)
select badge_key, 0, valid_from, count(*)
from earned_badge where badge_key = $1 and revoked_at is null group by badge_key, valid_from
union all
select badge_key, 3600, date_trunc('hour', valid_from, 'UTC'), count(*)
from earned_badge where badge_key = $1 and revoked_at is null group by badge_key, date_trunc('hour', valid_from, 'UTC');
