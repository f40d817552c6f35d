-- name: list_sources
-- Of the org $1, from position $2 on, in the order of the feed. A request of the kind IMPORT has no badge of its own.
-- How many customers there are is told by the size of the list, which need not be fetched for that; it is never too low.
select o.position, o.request_key, r.kind, b.badge_id,
       pg_column_size(coalesce(o.customers, r.audience)) / 8
from outbox o
left join request r on r.org_id = o.org_id and r.request_key = o.request_key and o.ledger is null
left join badge b on b.badge_key = coalesce(o.badge_key, r.badge_key)
where o.org_id = $1 and o.position >= $2 and (o.ledger is not null or r.kind is not null)
order by o.position limit $3;

-- name: find_revocations
select o.request_key, o.at, b.badge_id, o.ledger, o.customers, o.request_keys, o.lines
from outbox o join badge b using (badge_key)
where o.org_id = $1 and o.position = any($2::bigint[]);

-- name: list_event_dates
-- Of an import $1 those of its lines $4 that are still there, whose badges and customers are $2 and $3, side by side.
select e.line, e.valid_from
from unnest($2::integer[], $3::bigint[], $4::integer[]) as asked (badge_key, customer_id, line)
join earned_badge e on e.badge_key = asked.badge_key and e.customer_id = asked.customer_id
    and e.request_key = $1 and e.line = asked.line;

-- name: find_last_position
select position from outbox where org_id = $1 and position is not null order by position desc limit 1;
