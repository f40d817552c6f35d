-- name: enqueue_job_chunk
-- Runs in the transaction that decides a chunk or completes a job. Its issuances, if any, are valid until $5.
insert into outbox (org_id, at, request_key, chunk, expires_at) values ($1, $2, $3, $4, $5);

-- name: enqueue_revocations
-- Runs in the revoking transaction. The key has the same form as a request key, so both yield event ids.
insert into outbox (org_id, at, request_key, badge_key, ledger, customer_ids, request_keys, lines)
values ($1, $2, (($3::bigint % 4294967296) << 32) | nextval('request_number'), $4, $5, $6, $7, $8);

-- name: try_lock
-- The process that assigns positions holds this lock until it commits.
select pg_try_advisory_xact_lock(2, 0);

-- name: assign_positions
-- Assigns positions to committed rows in order of their ids. If one row's transaction sees another row, its id is
-- higher, and every reader that sees the later row sees both, so it never gets the lower position. Rows that commit
-- later get positions after all that have been read. The first expiry of the issuances is recorded; an import has many,
-- and 1970 if it issued nothing. A validity of more than half a century never expires.
with positioned as (
    update outbox o set position = next.position
    from (select id, nextval('outbox_position') as position
          from (select id from outbox where position is null order by id limit $1) unplaced) next
    where o.id = next.id and o.position is null
    returning o.org_id, o.at, o.request_key, o.chunk, o.expires_at, o.ledger),
scheduled as (
    insert into pending_expiry (org_id, request_key, chunk, expires_at)
    select p.org_id, p.request_key, p.chunk, first.expires_at
    from positioned p
    left join request r on r.org_id = p.org_id and r.request_key = p.request_key and p.chunk is null
        and r.kind in ('EARN', 'EARN_BULK', 'IMPORT')
    cross join lateral (
        select coalesce(p.expires_at, r.valid_until,
                        (select min(until) from unnest(r.valid_untils) until
                         where until > timestamptz '1970-01-01 00:00:00Z')) as expires_at) first
    where p.ledger is null and first.expires_at < p.at + interval '50 years')
select count(*) from positioned;

-- name: enqueue_expiries
-- Adds rows for expiries until $1, at time $2, for a limited number of requests and chunks, and records their next
-- expiry.
with due as (
    delete from pending_expiry
    where ctid = any(array(select ctid from pending_expiry where expires_at <= $1 order by expires_at limit $3))
    returning org_id, request_key, chunk, expires_at),
queued as (
    insert into outbox (org_id, at, request_key, ledger, expired_key, expired_chunk, expired_from, expired_until)
    select org_id, $2, (($4::bigint % 4294967296) << 32) | nextval('request_number'), 'earned_badge', request_key, chunk,
           expires_at, $1
    from (select * from due order by expires_at offset 0) sorted),
scheduled as (
    insert into pending_expiry (org_id, request_key, expires_at)
    select d.org_id, d.request_key, next.expires_at
    from due d
    join request r on r.org_id = d.org_id and r.request_key = d.request_key and r.kind = 'IMPORT' and d.chunk is null
    cross join lateral (select min(until) as expires_at from unnest(r.valid_untils) until where until > $1) next
    where next.expires_at is not null)
select count(*) from due;

-- name: delete_old_rows
-- Rows older than $1, a limited number per org.
with old as (
    select o.org_id, o.position
    from org cross join lateral (
        select org_id, position, at from outbox
        where org_id = org.org_id and position is not null order by position limit $2) o
    where o.at < $1),
deleted as (
    delete from outbox o using old where o.org_id = old.org_id and o.position = old.position returning 1)
select count(*) from deleted;

-- name: replace_customer
-- Replaces customer $2 by $3 in the revocations of the org.
update outbox set customer_ids = array_replace(customer_ids, $2::bigint, $3::bigint)
where org_id = $1 and customer_ids is not null and $2::bigint = any(customer_ids);
