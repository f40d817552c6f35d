-- name: list_sources
-- Of the org $1, from position $2 on, in the order of the feed. A request of the kind IMPORT has no badge of its own.
-- How many customers there are is told by the size of the list, which need not be fetched for that; it is never too low.
-- Where it is told that something has ended, the request is the one that had issued it.
select o.position, coalesce(o.ended_key, o.request_key), r.kind, coalesce(o.ended_part, o.part), b.badge_id,
       pg_column_size(coalesce(o.customers, c.audience, r.audience)) / 8,
       o.ended_key is not null, o.request_key, o.ended_from, o.ended_until
from outbox o
left join request r on r.org_id = o.org_id
    and r.request_key = coalesce(o.ended_key, case when o.ledger is null then o.request_key end)
left join job_chunk c on c.job_key = coalesce(o.ended_key, o.request_key) and c.number = coalesce(o.ended_part, o.part)
left join badge b on b.badge_key = coalesce(o.badge_key, r.badge_key)
where o.org_id = $1 and o.position >= $2
  and (o.ledger is not null or o.part is not null or r.kind <> 'JOB')  -- that a job has begun is not told
order by o.position limit $3;

-- name: find_revocations
select o.position, o.request_key, o.at, b.badge_id, o.ledger, o.customers, o.request_keys, o.lines
from outbox o join badge b using (badge_key)
where o.org_id = $1 and o.position = any($2::bigint[]);

-- name: find_parts
-- What was decided of jobs, or has ended of it, at these positions.
select o.position, r.request_key, o.at, r.request_id, r.badge_key, b.badge_id, r.owner_type, r.reference_id, c.first_line,
       c.audience, c.repeats, c.refusals
from outbox o
join request r on r.org_id = o.org_id and r.request_key = coalesce(o.ended_key, o.request_key)
join badge b on b.badge_key = r.badge_key
join job_chunk c on c.job_key = r.request_key and c.number = coalesce(o.ended_part, o.part)
where o.org_id = $1 and o.position = any($2::bigint[]);

-- name: find_finished_jobs
-- Likewise those that were completed, or cancelled.
select o.position, o.request_key, o.at, j.request_id, j.badge_id, j.owner_type, j.reference_id, j.state = 'cancelled',
       j.lines, j.counts
from outbox o join job j on j.job_key = o.request_key
where o.org_id = $1 and o.position = any($2::bigint[]) and o.part = -1;

-- name: list_validities
-- Of request $1 those of its lines $4 that are still there, whose badges and customers are $2 and $3, side by side. Each is
-- looked up by the key of the ledger, whatever the planner knows of that.
select found.*
from unnest($2::integer[], $3::bigint[], $4::integer[]) as asked (badge_key, customer_id, line)
cross join lateral (select e.line, e.valid_from, e.valid_until
                    from earned_badge e
                    where e.badge_key = asked.badge_key and e.customer_id = asked.customer_id
                      and e.request_key = $1 and e.line = asked.line offset 0) found;

-- name: list_ended
-- Likewise those that ended between $5 and $6, both included, and had not been revoked by then.
select found.*
from unnest($2::integer[], $3::bigint[], $4::integer[]) as asked (badge_key, customer_id, line)
cross join lateral (select e.line, e.valid_from, e.valid_until
                    from earned_badge e
                    where e.badge_key = asked.badge_key and e.customer_id = asked.customer_id
                      and e.request_key = $1 and e.line = asked.line
                      and e.valid_until >= $5 and e.valid_until <= $6
                      and (e.revoked_at is null or e.revoked_at >= e.valid_until) offset 0) found;

-- name: find_last_position
select position from outbox where org_id = $1 and position is not null order by position desc limit 1;
