-- name: find_holding
-- Of the customers $2, those with an unrevoked enrolment in badge $1 whose window holds $3; of several the one that ends last.
select distinct on (customer_id) customer_id, request_key, line, valid_until
from enrolment
where badge_key = $1 and customer_id = any($2::bigint[]) and revoked_at is null and valid_from <= $3 and valid_until > $3
order by customer_id, valid_until desc, ordinal desc;
