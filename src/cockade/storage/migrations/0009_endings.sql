-- That validities have ended is told too.
--
-- Code of the versions before goes on working here: it takes what is told of an end for a revocation of nobody, and parts of
-- jobs that it decides are not told again when they end.

-- Of a part of a job: until when what it issued is valid. For a request, the request has that.
alter table outbox add column ends_at timestamptz;
-- The rest is null but where it is told that what a request, or a part of a job, issued has ended, between two instants, both
-- included. Such a row has a key of its own, as a revocation has, and is of the ledger of earned badges.
alter table outbox add column ended_key bigint;
alter table outbox add column ended_part integer;
alter table outbox add column ended_from timestamptz;
alter table outbox add column ended_until timestamptz;

-- One row per request, or part of a job, some of which ends and was not told yet. It is of one org, and would be distributed
-- by it. One process at a time writes here: the one that gives positions.
create table ending (
    org_id       integer     not null,
    request_key  bigint      not null,
    part         integer,                 -- of a job: the number of the chunk
    ends_at      timestamptz not null     -- when the next of it ends
);
create index ending_by_time on ending (ends_at);

-- What was issued before and had not ended when the last request was decided; but by jobs, whose parts do not say when.
insert into ending (org_id, request_key, ends_at)
select r.org_id, r.request_key, r.valid_until
from request r, (select max(decided_at) as at from request) last
where r.kind in ('EARN', 'EARN_BULK') and r.valid_until > last.at and r.valid_until < r.decided_at + interval '50 years'
union all
select r.org_id, r.request_key, next.ends_at
from request r, (select max(decided_at) as at from request) last,
     lateral (select min(until) as ends_at from unnest(r.valid_untils) until where until > last.at) next
where r.kind = 'IMPORT' and next.ends_at < r.decided_at + interval '50 years';
