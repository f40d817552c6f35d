-- name: list_outbox_rows
-- Outbox rows of org $1 from position $2, in the order of the feed. A request of kind IMPORT has no badge. The number
-- of customers is computed from the size of the list, so that the list need not be fetched; it is never too low. If a
-- row publishes an expiry, its request is the one that had issued the badges.
select o.position, coalesce(o.expired_key, o.request_key), r.kind, coalesce(o.expired_chunk, o.chunk), b.badge_id,
       pg_column_size(coalesce(o.customer_ids, c.customer_ids, r.customer_ids)) / 8,
       o.expired_key is not null, o.request_key, o.expired_from, o.expired_until
from outbox o
left join request r on r.org_id = o.org_id
    and r.request_key = coalesce(o.expired_key, case when o.ledger is null then o.request_key end)
left join job_chunk c on c.job_key = coalesce(o.expired_key, o.request_key) and c.number = coalesce(o.expired_chunk, o.chunk)
left join badge b on b.badge_key = coalesce(o.badge_key, r.badge_key)
where o.org_id = $1 and o.position >= $2
  and (o.ledger is not null or o.chunk is not null or r.kind <> 'JOB')  -- the start of a job is not published
order by o.position limit $3;

-- name: find_revocations
select o.position, o.request_key, o.at, b.badge_id, o.ledger, o.customer_ids, o.request_keys, o.lines
from outbox o join badge b using (badge_key)
where o.org_id = $1 and o.position = any($2::bigint[]);

-- name: find_issued_chunks
-- Chunks of jobs that were completed or expired at these positions.
select o.position, r.request_key, o.at, r.request_id, r.badge_key, b.badge_id, r.owner_type, r.reference_id, c.first_line,
       c.customer_ids, c.duplicates, c.failures
from outbox o
join request r on r.org_id = o.org_id and r.request_key = coalesce(o.expired_key, o.request_key)
join badge b on b.badge_key = r.badge_key
join job_chunk c on c.job_key = r.request_key and c.number = coalesce(o.expired_chunk, o.chunk)
where o.org_id = $1 and o.position = any($2::bigint[]);

-- name: find_finished_jobs
-- Jobs that were completed or cancelled at these positions.
select o.position, o.request_key, o.at, j.request_id, j.badge_id, j.owner_type, j.reference_id, j.state = 'cancelled',
       j.lines, j.counts
from outbox o join job j on j.job_key = o.request_key
where o.org_id = $1 and o.position = any($2::bigint[]) and o.chunk = -1;

-- name: list_validities
-- Validities of those lines $4 of request $1 that still exist. $2, $3 and $4 are parallel lists of badges, customers
-- and lines. `offset 0` keeps the planner from flattening the subquery, so each line is looked up by the primary key.
select found.*
from unnest($2::integer[], $3::bigint[], $4::integer[]) as input (badge_key, customer_id, line)
cross join lateral (select e.line, e.valid_from, e.valid_until
                    from earned_badge e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                      and e.request_key = $1 and e.line = input.line offset 0) found;

-- name: list_expired
-- The same for lines that ended between $5 and $6 (inclusive) and were not revoked before.
select found.*
from unnest($2::integer[], $3::bigint[], $4::integer[]) as input (badge_key, customer_id, line)
cross join lateral (select e.line, e.valid_from, e.valid_until
                    from earned_badge e
                    where e.badge_key = input.badge_key and e.customer_id = input.customer_id
                      and e.request_key = $1 and e.line = input.line
                      and e.valid_until >= $5 and e.valid_until <= $6
                      and (e.revoked_at is null or e.revoked_at >= e.valid_until) offset 0) found;

-- name: find_last_position
select position from outbox where org_id = $1 and position is not null order by position desc limit 1;
