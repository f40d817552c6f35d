-- name: begin_request
-- Takes the request id. No row: it is used already. Another running transaction with the same id is waited for.
insert into request (org_id, request_id, request_key, kind)
values ($1, $2, (($3::bigint % 4294967296) << 32) | nextval('request_number'), $4)
on conflict (org_id, request_id) do nothing
returning request_key;

-- name: begin_requests
-- Takes many request ids at once, always in the same order, so that two who do this cannot deadlock. What is used already
-- has no row in the answer.
insert into request (org_id, request_id, request_key, kind)
select org_id, request_id, (($4::bigint % 4294967296) << 32) | nextval('request_number'), kind
from (select org_id, request_id, kind
      from unnest($1::integer[], $2::text[], $3::text[]) as asked (org_id, request_id, kind)
      order by org_id, request_id offset 0) sorted
on conflict (org_id, request_id) do nothing
returning org_id, request_id, request_key;

-- name: forget_requests
-- In the transaction that took them: nobody else has ever seen them.
delete from request r
using unnest($1::integer[], $2::text[]) as asked (org_id, request_id)
where r.org_id = asked.org_id and r.request_id = asked.request_id;

-- name: decide_request
-- Stores what became of it, in the transaction that issues, and that there is something to tell.
with told as (insert into outbox (org_id, at, request_key) values ($1, $3, $12))
update request
set decided_at = $3, badge_key = $4, owner_type = $5, reference_id = $6, event_at = $7, valid_until = $8,
    audience = $9, refusals = $10, enrolment_id = $11
where org_id = $1 and request_id = $2;

-- name: decide_requests
-- Likewise of many at once, in each of which everybody has earned.
with told as (insert into outbox (org_id, at, request_key)
              select org_id, $1, request_key from unnest($2::integer[], $10::bigint[]) as d (org_id, request_key))
update request r
set decided_at = $1, badge_key = d.badge_key, owner_type = d.owner_type, reference_id = d.reference_id,
    event_at = d.event_at, valid_until = d.valid_until, audience = d.audience::bigint[], refusals = '[]'
from unnest($2::integer[], $3::text[], $4::integer[], $5::text[], $6::text[], $7::timestamptz[], $8::timestamptz[],
            $9::text[])
     as d (org_id, request_id, badge_key, owner_type, reference_id, event_at, valid_until, audience)
where r.org_id = d.org_id and r.request_id = d.request_id;

-- name: decide_import
-- Likewise of an import; its rows have badges and expiries of their own.
with told as (insert into outbox (org_id, at, request_key) values ($1, $3, $9))
update request
set decided_at = $3, owner_type = $4, badge_keys = $5, audience = $6, valid_untils = $7, refusals = $8
where org_id = $1 and request_id = $2;

-- name: find_request
select r.request_id, r.request_key, r.kind, r.badge_key, b.badge_id, r.owner_type, r.reference_id, r.event_at,
       r.valid_until, r.decided_at, r.audience, r.refusals, r.enrolment_id, r.badge_keys, r.valid_untils
from request r left join badge b using (badge_key)
where r.org_id = $1 and r.request_id = $2;

-- name: find_requests_by_key
select r.request_id, r.request_key, r.kind, r.badge_key, b.badge_id, r.owner_type, r.reference_id, r.event_at,
       r.valid_until, r.decided_at, r.audience, r.refusals, r.enrolment_id, r.badge_keys, r.valid_untils
from request r left join badge b using (badge_key)
where r.org_id = $1 and r.request_key = any($2::bigint[]);

-- name: is_request_id_used
select exists (select from request where org_id = $1 and request_id = $2);

-- name: list_customers
-- Those of the lines $3 to $4, which count from 1 here.
select audience[$3:$4] from request where org_id = $1 and request_id = $2;

-- name: badge_ids
select badge_key, badge_id from badge where badge_key = any($1::integer[]);

-- name: rename
-- Another number in the place of customer $2 in the audiences of the org, and in what is told of revocations; reads them
-- all, as no index knows who is in one.
with renamed as (update request set audience = array_replace(audience, $2::bigint, $3::bigint)
                 where org_id = $1 and $2::bigint = any(audience) returning 1),
     told as (update outbox set customers = array_replace(customers, $2::bigint, $3::bigint)
              where org_id = $1 and customers is not null and $2::bigint = any(customers))
select count(*) from renamed;

-- name: tell_part
-- In the transaction that decides a part of a job, or completes it. What it issued, if it did, is valid until $5.
insert into outbox (org_id, at, request_key, part, ends_at) values ($1, $2, $3, $4, $5);

-- name: tell_revoked
-- In the transaction that revokes. Its key is of the same kind as a request's, so that both make ids of events.
insert into outbox (org_id, at, request_key, badge_key, ledger, customers, request_keys, lines)
values ($1, $2, (($3::bigint % 4294967296) << 32) | nextval('request_number'), $4, $5, $6, $7, $8);

-- name: try_lock_outbox
-- Whoever gives positions is alone with it until its commit.
select pg_try_advisory_xact_lock(2, 0);

-- name: place
-- A position for what was committed and has none, in order of numbers. Of two rows of which the later one knows the
-- earlier, whoever sees the later sees both, and the earlier one has the lower number: it never gets the higher position.
-- What is still to be committed gets one when it is, behind all that have been read.
-- Of what it issued, the first end is noted, so that this comes behind it; an import has many, and 1970 where it issued
-- nothing. What is valid for more than half a century never expires.
with placed as (
    update outbox o set position = next.position
    from (select number, nextval('outbox_position') as position
          from (select number from outbox where position is null order by number limit $1) unplaced) next
    where o.number = next.number and o.position is null
    returning o.org_id, o.at, o.request_key, o.part, o.ends_at, o.ledger),
noted as (
    insert into ending (org_id, request_key, part, ends_at)
    select p.org_id, p.request_key, p.part, first.ends_at
    from placed p
    left join request r on r.org_id = p.org_id and r.request_key = p.request_key and p.part is null
        and r.kind in ('EARN', 'EARN_BULK', 'IMPORT')
    cross join lateral (
        select coalesce(p.ends_at, r.valid_until,
                        (select min(until) from unnest(r.valid_untils) until
                         where until > timestamptz '1970-01-01 00:00:00Z')) as ends_at) first
    where p.ledger is null and first.ends_at < p.at + interval '50 years')
select count(*) from placed;

-- name: tell_ended
-- Says of what had ended by $1, so many requests and parts of jobs at most, that it has, at $2; and notes what ends next.
with due as (
    delete from ending
    where ctid = any(array(select ctid from ending where ends_at <= $1 order by ends_at limit $3))
    returning org_id, request_key, part, ends_at),
told as (
    insert into outbox (org_id, at, request_key, ledger, ended_key, ended_part, ended_from, ended_until)
    select org_id, $2, (($4::bigint % 4294967296) << 32) | nextval('request_number'), 'earned_badge', request_key, part,
           ends_at, $1
    from (select * from due order by ends_at offset 0) sorted),
noted as (
    insert into ending (org_id, request_key, ends_at)
    select d.org_id, d.request_key, next.ends_at
    from due d
    join request r on r.org_id = d.org_id and r.request_key = d.request_key and r.kind = 'IMPORT' and d.part is null
    cross join lateral (select min(until) as ends_at from unnest(r.valid_untils) until where until > $1) next
    where next.ends_at is not null)
select count(*) from due;

-- name: forget_outbox
-- What happened before $1, so many of each org.
with old as (
    select o.org_id, o.position
    from org cross join lateral (
        select org_id, position, at from outbox
        where org_id = org.org_id and position is not null order by position limit $2) o
    where o.at < $1),
forgotten as (
    delete from outbox o using old where o.org_id = old.org_id and o.position = old.position returning 1)
select count(*) from forgotten;
