-- name: find_holders
-- Of the customers $2, those who ever had badge $1: their highest ordinal and, of their unrevoked ones that are valid
-- at some time in [$3, $4), the one that ends last. One descent of the primary key per customer.
select distinct on (customer_id)
       customer_id,
       max(ordinal) over (partition by customer_id) as last_ordinal,
       stands, request_key, line, valid_from, valid_until
from (select customer_id, ordinal, request_key, line, valid_from, valid_until,
             revoked_at is null and valid_from < $4 and valid_until > $3 as stands
      from earned_badge
      where badge_key = $1 and customer_id = any($2::bigint[])) held
order by customer_id, stands desc, valid_until desc, ordinal desc;

-- name: count_earned
-- How many unrevoked ones there are of each badge.
select badge_key, count(*) from earned_badge
where badge_key = any($1::integer[]) and revoked_at is null
group by badge_key;

-- name: revoke
-- Only what is valid now, or will be; the row stays.
update earned_badge set revoked_at = $5
where badge_key = $1 and customer_id = $2 and request_key = $3 and line = $4
  and revoked_at is null and valid_until > $5
returning badge_key;
