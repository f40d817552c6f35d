-- What happened, in an order to be told in, and whom it is told to.
--
-- Code of the versions before goes on working here; what it does is not told.

-- One row per request that was decided and per revocation, written in its transaction. It is of one org, and would be
-- distributed by it.
create table outbox (
    -- Taken last in its transaction: of two that know of each other, the later one has the higher number.
    number        bigint generated always as identity,
    org_id        integer     not null,
    position      bigint,                 -- in the feed; null until it was given one, which is after the commit
    at            timestamptz not null,
    request_key   bigint      not null,   -- the request's; a revocation has a key of its own
    part          integer,                -- of a job: the number of the chunk that was decided; -1: all of it
    -- The rest is null but for revocations. The lists run side by side.
    badge_key     integer,
    ledger        text check (ledger in ('earned_badge', 'enrolment')),
    customers     bigint[],
    request_keys  bigint[],               -- with the line what was revoked
    lines         integer[]
);
alter table outbox alter column customers set storage external;
alter table outbox alter column request_keys set storage external;
alter table outbox alter column lines set storage external;
-- Those without a position; the only index that a request pays for.
create index outbox_unplaced on outbox (number) where position is null;
create unique index outbox_placed on outbox (org_id, position) where position is not null;
-- Where a customer may be named.
create index outbox_revocation on outbox (org_id) where customers is not null;
create sequence outbox_position as bigint;

create table webhook (
    org_id            integer     not null references org,
    webhook_id        text        not null collate "C" check (webhook_id ~ '^[0-9a-f]{24}$'),
    url               text        not null,
    description       text        not null,
    kinds             text[]      not null,   -- cockade.event.model.EventKind
    badge_ids         text[]      collate "C",   -- null: of all badges
    secret            text        not null,   -- in clear, for it signs
    old_secret        text,                   -- signs too until then
    old_secret_until  timestamptz,
    is_active         boolean     not null,
    disabled_reason   text,
    position          bigint      not null,   -- all up to this line of this position was delivered
    line              integer     not null,
    ahead             text[]      not null,   -- and these events behind it
    failures          integer     not null,   -- rounds in a row that delivered nothing
    failing_since     timestamptz,            -- since when the next event could not be delivered
    retry_at          timestamptz,
    lease             text,                   -- of the worker that delivers
    leased_until      timestamptz,
    created_at        timestamptz not null,
    created_by        text        not null,
    updated_at        timestamptz not null,
    updated_by        text        not null,
    primary key (org_id, webhook_id)
);

-- The delivery log: one row per attempt. It names no customer.
create table webhook_attempt (
    attempt_id   bigint generated always as identity,
    org_id       integer     not null,
    webhook_id   text        not null collate "C",
    at           timestamptz not null,
    event_id     text        not null collate "C",
    kind         text        not null,
    status       integer,                -- null: there was no answer
    error        text,                   -- null: delivered
    duration_ms  integer     not null,
    primary key (org_id, webhook_id, attempt_id)
);
create index webhook_attempt_at on webhook_attempt (at);
