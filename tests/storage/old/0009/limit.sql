-- name: add_to_tally
-- So many more (or fewer) at these instants, and in their hours. Only with the badges held exclusively.
insert into tally as t (badge_key, grain_s, at, earned)
select badge_key, grain_s, at, sum(earned)
from (select badge_key, 0 as grain_s, at, earned
      from unnest($1::integer[], $2::timestamptz[], $3::bigint[]) as given (badge_key, at, earned)
      union all
      select badge_key, 3600, date_trunc('hour', at, 'UTC'), earned
      from unnest($1::integer[], $2::timestamptz[], $3::bigint[]) as given (badge_key, at, earned)) added
group by badge_key, grain_s, at
on conflict (badge_key, grain_s, at) do update set earned = t.earned + excluded.earned;

-- name: sum_windows
-- What was earned in each window, given in pieces: which window, badge, grain, from, until (half open).
select w.place, sum(t.earned)::bigint
from unnest($1::integer[], $2::integer[], $3::integer[], $4::timestamptz[], $5::timestamptz[])
     as w (place, badge_key, grain_s, opens, closes)
join tally t on t.badge_key = w.badge_key and t.grain_s = w.grain_s and t.at >= w.opens and t.at < w.closes
group by w.place;

-- name: list_instants
-- What was earned of each badge $1 at each instant after $2, up to and with $3.
select w.badge_key, t.at, t.earned
from unnest($1::integer[], $2::timestamptz[], $3::timestamptz[]) as w (badge_key, after, until)
join tally t on t.badge_key = w.badge_key and t.grain_s = 0 and t.at > w.after and t.at <= w.until and t.earned > 0
order by w.badge_key, t.at;

-- name: find_nth
-- The instant after $2, up to and with $3, at which the $4th was earned.
select at
from (select at, sum(earned) over (order by at) as upto
      from (select at, earned from tally
            where badge_key = $1 and grain_s = 0 and at > $2 and at <= $3 and earned > 0
            order by at limit $4) oldest) counted
where upto >= $4
order by at limit 1;

-- name: clear_tally
delete from tally where badge_key = $1;

-- name: build_tally
-- From the ledger, where a badge gets its first limit as a whole.
insert into tally (badge_key, grain_s, at, earned)
select badge_key, 0, valid_from, count(*)
from earned_badge where badge_key = $1 and revoked_at is null group by badge_key, valid_from
union all
select badge_key, 3600, date_trunc('hour', valid_from, 'UTC'), count(*)
from earned_badge where badge_key = $1 and revoked_at is null group by badge_key, date_trunc('hour', valid_from, 'UTC');
