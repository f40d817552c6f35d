-- name: enqueue_job_chunk
-- Runs in the transaction that decides a chunk of a job, or that ends the job. $5: end of the validity of what was
-- issued.
insert into outbox (org_id, at, request_key, chunk, expires_at) values ($1, $2, $3, $4, $5);

-- name: enqueue_revocations
-- Runs in the transaction that revokes. The key is created like a request key, because event ids are derived from both.
insert into outbox (org_id, at, request_key, badge_key, ledger, customer_ids, request_keys, lines)
values ($1, $2, (($3::bigint % 4294967296) << 32) | nextval('request_number'), $4, $5, $6, $7, $8);

-- name: try_lock
-- Only one transaction at a time assigns positions.
select pg_try_advisory_xact_lock(2, 0);

-- name: assign_positions
-- Assigns positions to committed rows that have none, in order of id. If a transaction saw an earlier row before it
-- wrote its own, its row has the higher id, and every snapshot that contains it also contains the earlier row: the
-- earlier row never gets the higher position. A row that is committed later gets a later position. For requests that
-- issued badges, the first expiry is scheduled here, so that it follows the request in the feed. An import has several
-- expiries; rows that issued nothing have 1970. A validity of more than 50 years counts as never ending.
with positioned as (
    update outbox o set position = next.position
    from (select id, nextval('outbox_position') as position
          from (select id from outbox where position is null order by id limit $1) unpositioned) next
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
-- Publishes at $2 that validities have ended by $1, for at most $3 requests or chunks, and schedules the next expiry of
-- imports.
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
-- Deletes rows older than $1, at most $2 per org.
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
-- Replaces customer $2 with $3 in the revocations of the org.
update outbox set customer_ids = array_replace(customer_ids, $2::bigint, $3::bigint)
where org_id = $1 and customer_ids is not null and $2::bigint = any(customer_ids);
