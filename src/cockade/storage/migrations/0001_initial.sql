-- The schema. The large tables are request, earned_badge, enrolment, outbox, job and job_chunk: no foreign key or trigger
-- touches them, so that they can be partitioned or distributed.

-- Orgs and credentials

create table org (
    org_id             integer generated always as identity (start with 1001) primary key,
    name               text        not null,
    time_zone          text        not null,               -- IANA name: defines calendar months, midnights and fixed windows
    request_id_is_key  boolean     not null default false, -- a repeated request id returns the first response, not 809
    created_at         timestamptz not null
);

create table credential (
    credential_id      bigint generated always as identity primary key,
    org_id             integer     not null references org,
    username           text        not null collate "C",
    access_group       text        not null check (access_group in ('default', 'read-only')),
    secret_hash        text        not null,               -- argon2id, also client_secret_hash
    client_key         text        not null collate "C",
    client_secret_hash text        not null,
    token_ttl_s        integer     not null check (token_ttl_s between 60 and 3600),
    created_at         timestamptz not null,
    revoked_at         timestamptz,
    constraint credential_username_unique unique (username),
    constraint credential_client_key_unique unique (client_key)
);

create table signing_key (
    key_id      text primary key,
    secret      bytea       not null,
    created_at  timestamptz not null
);

-- A failed login. Unlogged: losing these rows in a crash is acceptable, since they expire after minutes.
create unlogged table failed_login (
    username_digest  bytea       not null,                 -- a digest, since users also type secrets into this field
    address          text        not null collate "C",     -- for IPv6 the /64 network
    failed_at        timestamptz not null
);
create index failed_login_by_username on failed_login (username_digest, failed_at);
create index failed_login_by_address on failed_login (address, failed_at);
create index failed_login_by_time on failed_login (failed_at);

-- Addresses from which a username has logged in. Updated at most once an hour.
create table known_login_address (
    username_digest  bytea       not null,
    address          text        not null collate "C",
    last_success_at  timestamptz not null,
    primary key (username_digest, address)
);

-- Requests of a credential in the current minute. Processes reserve several at a time. Empty without a rate limit.
create unlogged table rate_limit_window (
    credential_id  bigint      primary key,
    minute         timestamptz not null,
    used           integer     not null,                   -- by all processes
    reserved       integer     not null                    -- by the last process that asked
) with (fillfactor = 50);

-- One row per change, written in the transaction of the change. Rows are never updated or deleted.
create table audit_entry (
    entry_id  bigint generated always as identity primary key,
    org_id    integer references org,                      -- null: concerns the whole service
    at        timestamptz not null,
    username  text        not null collate "C",
    action    text        not null,                        -- cockade.audit.model.Action
    badge_id  text        collate "C",
    subject   text        not null collate "C",
    details   json        not null
);
create index audit_entry_by_org on audit_entry (org_id, entry_id);

-- Badges

create table badge (
    badge_key            integer generated always as identity primary key,
    org_id               integer     not null references org,
    badge_id             text        not null collate "C" check (badge_id ~ '^[0-9a-f]{24}$'),
    badge_number         integer     not null,             -- counts up per org
    name                 text        not null collate "C",
    starts_at            timestamptz not null,
    expires_at           timestamptz not null check (expires_at > starts_at),
    earn_type            text        not null check (earn_type in ('EARN', 'ISSUE_EARN')),
    earned_expiry        json        not null,             -- cockade.badge.model.Expiry
    issued_expiry        json,
    owners               text[]      not null,
    overlap_policy       text check (overlap_policy in ('ALLOW', 'REJECT')),
    customer_constraints json        not null,             -- cockade.badge.model.Constraint, in the badge's order
    badge_constraints    json        not null,
    has_badge_limit      boolean     not null,             -- issuing takes the exclusive lock
    presentation         json        not null,             -- cockade.badge.model.Presentation: read by no rule
    badge_group_id       text        collate "C",          -- copied from presentation for filters and sorting: SQL cannot
    badge_rank           integer,                          -- read it, because it may hold text that PostgreSQL cannot
    is_active            boolean     not null,
    created_at           timestamptz not null,
    created_by           text        not null,
    updated_at           timestamptz not null,
    updated_by           text        not null,
    constraint badge_id_unique unique (org_id, badge_id),
    constraint badge_name_unique unique (org_id, name),
    constraint badge_number_unique unique (org_id, badge_number)
);

create table badge_claim (
    badge_key     integer not null references badge,
    owner_type    text    not null,
    reference_id  text    not null collate "C",
    is_active     boolean not null,
    primary key (badge_key, owner_type, reference_id)
);

-- Unrevoked enrolments and earned badges per badge: the sum over its shards. Concurrent requests add to different shards,
-- so they rarely wait for each other.
create table badge_count (
    badge_key  integer  not null references badge,
    shard      smallint not null,
    issued     bigint   not null,
    earned     bigint   not null,
    primary key (badge_key, shard)
) with (fillfactor = 50);

-- Earned badges of a badge with a badge limit: unrevoked ones per UTC hour (bucket_s 3600) and per instant of the earn
-- event (bucket_s 0). A window is a sum of whole hours, plus single instants at its two ends.
create table badge_limit_counter (
    badge_key     integer     not null references badge,
    bucket_s      integer     not null check (bucket_s in (0, 3600)),
    bucket_start  timestamptz not null,
    earned        bigint      not null,
    primary key (badge_key, bucket_s, bucket_start)
);

create table badge_group (
    org_id      integer     not null references org,
    group_id    text        not null collate "C" check (group_id ~ '^[0-9a-f]{24}$'),
    name        text        not null collate "C",
    rank        integer,
    is_active   boolean     not null,
    created_at  timestamptz not null,
    created_by  text        not null,
    updated_at  timestamptz not null,
    updated_by  text        not null,
    primary key (org_id, group_id)
);

create table custom_field (
    org_id         integer     not null references org,
    field_id       text        not null collate "C" check (field_id ~ '^[0-9a-f]{24}$'),
    name           text        not null collate "C",
    data_type      text        not null check (data_type in ('INTEGER', 'BOOLEAN', 'DATE', 'STRING')),
    is_mandatory   boolean     not null,
    default_value  json,
    is_active      boolean     not null,
    created_at     timestamptz not null,
    created_by     text        not null,
    updated_at     timestamptz not null,
    updated_by     text        not null,
    primary key (org_id, field_id),
    constraint custom_field_name_unique unique (org_id, name)
);

-- The tag definitions of an org.
create table org_meta (
    org_id      integer primary key references org,
    meta_id     text        not null collate "C" check (meta_id ~ '^[0-9a-f]{24}$'),
    tags        json        not null,                      -- cockade.metadata.model.TagDefinition
    created_at  timestamptz not null,
    created_by  text        not null,
    updated_at  timestamptz not null,
    updated_by  text        not null
);

-- Identifiers that requests may use instead of the customer id.
create table customer_identifier (
    org_id       integer not null,
    kind         text    not null check (kind in ('email', 'mobile', 'externalId', 'cardNumber')),
    identifier   text    not null collate "C",
    customer_id  bigint  not null,
    primary key (org_id, kind, identifier)
);
create index customer_identifier_by_customer on customer_identifier (org_id, customer_id);

-- Requests and issuances

-- A request key is the second of the request (32 bits) and a number from this sequence (32 bits). Two keys could only be
-- equal after 2^32 requests in one second.
create sequence request_number as bigint minvalue 0 maxvalue 4294967295 cycle;

-- One row per request that issues, enrols or imports. The columns after kind are null while the request is running.
create table request (
    org_id        integer     not null,
    request_id    text        not null collate "C",
    request_key   bigint      not null,
    kind          text        not null,                    -- cockade.request.model.RequestKind
    completed_at  timestamptz,
    badge_key     integer,
    owner_type    text,
    reference_id  text,
    event_at      timestamptz,
    valid_until   timestamptz,
    customer_ids  bigint[],                                -- distinct, in the order sent; the index is the line
    failures      json,                                    -- cockade.request.model.CustomerFailure, by line
    enrolment_id  text,                                    -- kind EARN: the enrolment it was earned through
    badge_keys    integer[],                               -- kind IMPORT: the badge of each line
    valid_untils  timestamptz[],                           -- kind IMPORT: the expiry of each line
    primary key (org_id, request_id)
);
create index request_by_key on request (request_key);
-- Written once and rarely read: compression costs more than it saves.
alter table request alter column customer_ids set storage external;
alter table request alter column failures set storage external;
alter table request alter column badge_keys set storage external;
alter table request alter column valid_untils set storage external;

-- One narrow row per earned badge. Rows are deleted only when a customer is erased.
create table earned_badge (
    customer_id  bigint      not null,
    request_key  bigint      not null,
    valid_from   timestamptz not null,
    valid_until  timestamptz not null,
    revoked_at   timestamptz,
    counted_at   timestamptz,                              -- valid_from of unrevoked rows if the badge has or had a window
                                                           -- per customer, else null: other badges do not pay for the index
    badge_key    integer     not null,
    ordinal      integer     not null,                     -- 1 + the highest that this customer ever had of this badge
    line         integer     not null,                     -- index in the request
    primary key (badge_key, customer_id, ordinal)
);
-- Statements read ordinals up to 8 by the primary key and the others by this index, which costs as much per row as the key.
create index earned_badge_counted on earned_badge (badge_key, customer_id, counted_at)
    where counted_at is not null and ordinal > 8;

-- Enrolments.
create table enrolment (
    customer_id  bigint      not null,
    request_key  bigint      not null,
    valid_from   timestamptz not null,
    valid_until  timestamptz not null,
    revoked_at   timestamptz,
    badge_key    integer     not null,
    ordinal      integer     not null,                     -- 1 + the highest that this customer ever had of this badge
    line         integer     not null,                     -- index in the request
    primary key (badge_key, customer_id, ordinal)
);

-- Stored responses of requests with an idempotency key, written in the transaction of what the request changed.
create table idempotency_key (
    org_id       integer     not null,
    key          text        not null collate "C",
    fingerprint  bytea       not null,                     -- hash of the request
    status       smallint    not null,
    body         bytea,                                    -- null: built again from the outcome of request_id
    request_id   text        collate "C",
    created_at   timestamptz not null,
    primary key (org_id, key)
);
create index idempotency_key_by_time on idempotency_key (created_at);

-- Jobs and undo

-- One row per job. Its request row has the same key and an empty list of customers; lines count through all chunks.
-- A dry run has a key, but no request row.
create table job (
    job_key          bigint      primary key,              -- the request key
    org_id           integer     not null,
    request_id       text        not null collate "C",
    badge_id         text        not null collate "C",
    owner_type       text        not null,
    reference_id     text        not null collate "C",
    event_at         timestamptz not null,                 -- the same for all customers
    is_dry_run       boolean     not null,
    state            text        not null,                 -- cockade.job.model.JobState
    created_at       timestamptz not null,
    created_by       text        not null collate "C",
    started_at       timestamptz,
    finished_at      timestamptz,
    updated_at       timestamptz not null,                 -- last progress
    upload_attempt   integer     not null,                 -- a new attempt to send the audience ends the previous one
    layout           json        not null,                 -- cockade.job.model.AudienceLayout
    lines            bigint      not null,                 -- in all chunks
    chunks           integer     not null,
    is_deduplicated  boolean     not null,                 -- repeated customers have been marked
    next_chunk       integer     not null,                 -- the first chunk that is not decided
    processed        bigint      not null,                 -- lines of decided chunks
    counts           json        not null,                 -- cockade.job.model.LineCounts
    rate             real,                                 -- lines per second, recent average
    error            text,
    files_retained   boolean     not null                  -- the uploaded lines are still stored
);
create unique index job_request_unique on job (org_id, request_id) where not is_dry_run;
create index job_by_org on job (org_id, created_at, job_key);
create index job_by_state on job (state, updated_at) where state in ('staging', 'queued', 'running');

-- A chunk of an audience (some ten thousand lines) and its outcome.
create table job_chunk (
    job_key       bigint      not null,
    number        integer     not null,
    first_line    bigint      not null,
    customer_ids  bigint[]    not null,                    -- by line; 0 if the line has no valid customer
    raw_lines     bytea,                                   -- the lines as sent, deflated; null if customer_ids is enough
    line_errors   json        not null,                    -- cockade.job.model.LineError
    duplicates    integer[]   not null,                    -- lines whose customer occurs in an earlier line
    decided_at    timestamptz,
    code          integer,                                 -- the whole chunk failed with this code
    failures      json,                                    -- cockade.request.model.CustomerFailure, by line of the chunk
    primary key (job_key, number)
);
alter table job_chunk alter column customer_ids set storage external;
alter table job_chunk alter column raw_lines set storage external;

-- Undo of requests that are too large for one transaction, in batches: 10,000 lines, or one chunk of a job.
create table undo (
    request_key      bigint      primary key,              -- the request that is undone
    org_id           integer     not null,
    request_id       text        not null collate "C",
    state            text        not null,                 -- cockade.undo.model.UndoState
    created_at       timestamptz not null,
    created_by       text        not null collate "C",
    updated_at       timestamptz not null,                 -- last progress
    finished_at      timestamptz,
    batches          integer     not null,
    next_batch       integer     not null,                 -- the first batch that is not revoked
    revoked          bigint      not null,
    already_revoked  bigint      not null,                 -- revoked before the undo
    error            text
);
create index undo_by_state on undo (updated_at) where state in ('queued', 'running');

-- Events and webhooks

-- Transactional outbox: one row per completed request, job chunk, revocation and expiry. Events are derived from it.
create table outbox (
    id             bigint generated always as identity,    -- taken last in the transaction: if one transaction sees
                                                           -- another's row, its own id is higher
    org_id         integer     not null,
    position       bigint,                                 -- in the feed; assigned after the commit, null until then
    at             timestamptz not null,
    request_key    bigint      not null,                   -- revocations and expiries have a key of their own
    chunk          integer,                                -- of a job: the chunk that was decided; -1: the whole job
    expires_at     timestamptz,                            -- of a job chunk: when what it issued expires
    -- Revocations. The arrays are parallel.
    badge_key      integer,
    ledger         text check (ledger in ('earned_badge', 'enrolment')),
    customer_ids   bigint[],
    request_keys   bigint[],                               -- with lines: which earned badges
    lines          integer[],
    -- Expiries: what this request or job chunk issued and expired between two instants, both included.
    expired_key    bigint,
    expired_chunk  integer,
    expired_from   timestamptz,
    expired_until  timestamptz
);
alter table outbox alter column customer_ids set storage external;
alter table outbox alter column request_keys set storage external;
alter table outbox alter column lines set storage external;
-- Rows without a position. This is the only index of the table that a request pays for.
create index outbox_unpositioned on outbox (id) where position is null;
create unique index outbox_positioned on outbox (org_id, position) where position is not null;
create index outbox_revocation on outbox (org_id) where customer_ids is not null;
create sequence outbox_position as bigint;

-- One row per request or job chunk whose earned badges expire later. Only the process that assigns positions writes here.
create table pending_expiry (
    org_id       integer     not null,
    request_key  bigint      not null,
    chunk        integer,                                  -- of a job
    expires_at   timestamptz not null                      -- the next expiry
);
create index pending_expiry_by_time on pending_expiry (expires_at);

create table webhook (
    org_id            integer     not null references org,
    webhook_id        text        not null collate "C" check (webhook_id ~ '^[0-9a-f]{24}$'),
    url               text        not null,
    description       text        not null,
    kinds             text[]      not null,                -- cockade.event.model.EventKind
    badge_ids         text[]      collate "C",             -- null: all badges
    secret            text        not null,                -- plain text: it signs deliveries
    old_secret        text,                                -- also signs, until old_secret_until
    old_secret_until  timestamptz,
    is_active         boolean     not null,
    disabled_reason   text,
    position          bigint      not null,                -- with line: the cursor, everything up to it was delivered
    line              integer     not null,
    delivered_ahead   text[]      not null,                -- events after the cursor that were delivered
    failures          integer     not null,                -- consecutive rounds without a delivery
    failing_since     timestamptz,
    retry_at          timestamptz,
    lease             text,                                -- of the worker that is delivering
    leased_until      timestamptz,
    created_at        timestamptz not null,
    created_by        text        not null,
    updated_at        timestamptz not null,
    updated_by        text        not null,
    primary key (org_id, webhook_id)
);

-- The delivery log: one row per attempt. Contains no customer ids.
create table webhook_attempt (
    attempt_id   bigint generated always as identity,
    org_id       integer     not null,
    webhook_id   text        not null collate "C",
    at           timestamptz not null,
    event_id     text        not null collate "C",
    kind         text        not null,
    status       integer,                                  -- null: no response
    error        text,                                     -- null: delivered
    duration_ms  integer     not null,
    primary key (org_id, webhook_id, attempt_id)
);
create index webhook_attempt_at on webhook_attempt (at);

-- Task queue

-- pgqueuer 1.6.0 -- prefix='' schema=None durability=durable

CREATE TYPE pgqueuer_status AS ENUM ('queued', 'picked', 'successful', 'exception', 'canceled', 'deleted', 'failed');

CREATE TABLE pgqueuer (
    id bigserial NOT NULL PRIMARY KEY,
    priority integer NOT NULL,
    queue_manager_id uuid,
    created timestamp with time zone NOT NULL DEFAULT now(),
    updated timestamp with time zone NOT NULL DEFAULT now(),
    heartbeat timestamp with time zone NOT NULL DEFAULT now(),
    execute_after timestamp with time zone NOT NULL DEFAULT now(),
    status pgqueuer_status NOT NULL,
    entrypoint text NOT NULL,
    dedupe_key text,
    payload bytea,
    headers jsonb,
    attempts integer NOT NULL DEFAULT 0,
    slot bigint
);

CREATE TABLE pgqueuer_log (
    id bigint GENERATED BY DEFAULT AS IDENTITY NOT NULL PRIMARY KEY,
    created timestamp with time zone NOT NULL DEFAULT now(),
    job_id bigint NOT NULL,
    status pgqueuer_status NOT NULL,
    priority integer NOT NULL,
    entrypoint text NOT NULL,
    traceback jsonb,
    aggregated boolean DEFAULT false
);

CREATE TABLE pgqueuer_schedules (
    id bigserial NOT NULL PRIMARY KEY,
    expression text NOT NULL,
    entrypoint text NOT NULL,
    heartbeat timestamp with time zone NOT NULL DEFAULT now(),
    created timestamp with time zone NOT NULL DEFAULT now(),
    updated timestamp with time zone NOT NULL DEFAULT now(),
    next_run timestamp with time zone NOT NULL DEFAULT now(),
    last_run timestamp with time zone,
    status pgqueuer_status DEFAULT 'queued'::pgqueuer_status,
    UNIQUE (expression, entrypoint)
);

CREATE TABLE pgqueuer_statistics (
    id bigserial NOT NULL PRIMARY KEY,
    created timestamp with time zone NOT NULL DEFAULT date_trunc('sec'::text, now()),
    count bigint NOT NULL,
    priority integer NOT NULL,
    status pgqueuer_status NOT NULL,
    entrypoint text NOT NULL
);

CREATE INDEX pgqueuer_ep_ea_idx ON pgqueuer USING btree (entrypoint, execute_after) WHERE (status = 'queued'::pgqueuer_status);

CREATE INDEX pgqueuer_ep_prio_id_idx ON pgqueuer USING btree (entrypoint, priority DESC, id) WHERE (status = 'queued'::pgqueuer_status);

CREATE INDEX pgqueuer_log_created ON pgqueuer_log USING btree (created);

CREATE INDEX pgqueuer_log_job_id_status ON pgqueuer_log USING btree (job_id, created DESC);

CREATE INDEX pgqueuer_log_not_aggregated ON pgqueuer_log USING btree ((1)) WHERE (NOT aggregated);

CREATE INDEX pgqueuer_log_status ON pgqueuer_log USING btree (status);

CREATE INDEX pgqueuer_picked_heartbeat_idx ON pgqueuer USING btree (heartbeat) WHERE (status = 'picked'::pgqueuer_status);

CREATE UNIQUE INDEX pgqueuer_picked_slot_idx ON pgqueuer USING btree (entrypoint, slot) WHERE ((status = 'picked'::pgqueuer_status) AND (slot IS NOT NULL));

CREATE INDEX pgqueuer_priority_id_id1_idx ON pgqueuer USING btree (priority, id DESC) INCLUDE (id) WHERE (status = 'queued'::pgqueuer_status);

CREATE INDEX pgqueuer_queue_manager_id_idx ON pgqueuer USING btree (queue_manager_id) WHERE (queue_manager_id IS NOT NULL);

CREATE UNIQUE INDEX pgqueuer_statistics_unique_count ON pgqueuer_statistics USING btree (priority, date_trunc('sec'::text, timezone('UTC'::text, created)), status, entrypoint);

CREATE UNIQUE INDEX pgqueuer_unique_dedupe_key ON pgqueuer USING btree (dedupe_key) WHERE ((status = ANY (ARRAY['queued'::pgqueuer_status, 'picked'::pgqueuer_status])) AND (dedupe_key IS NOT NULL));

CREATE INDEX pgqueuer_updated_id_id1_idx ON pgqueuer USING btree (updated, id DESC) INCLUDE (id) WHERE (status = 'picked'::pgqueuer_status);

CREATE FUNCTION fn_pgqueuer_changed() RETURNS TRIGGER AS $$
DECLARE
    to_emit BOOLEAN := false;  -- Flag to decide whether to emit a notification
BEGIN
    -- Check operation type and set the emit flag accordingly
    IF TG_OP = 'UPDATE' AND OLD IS DISTINCT FROM NEW THEN
        to_emit := true;
    ELSIF TG_OP = 'DELETE' THEN
        to_emit := true;
    ELSIF TG_OP = 'INSERT' THEN
        to_emit := true;
    ELSIF TG_OP = 'TRUNCATE' THEN
        to_emit := true;
    END IF;

    -- Perform notification if the emit flag is set
    IF to_emit THEN
        PERFORM pg_notify(
            'ch_pgqueuer',
            json_build_object(
                'channel', 'ch_pgqueuer',
                'operation', lower(TG_OP),
                'sent_at', NOW(),
                'table', TG_TABLE_NAME,
                'type', 'table_changed_event'
            )::text
        );
    END IF;

    -- Return appropriate value based on the operation
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        RETURN NEW;
    ELSIF TG_OP = 'DELETE' THEN
        RETURN OLD;
    ELSE
        RETURN NULL; -- For TRUNCATE and other non-row-specific contexts
    END IF;

END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER tg_pgqueuer_changed
AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON pgqueuer
EXECUTE FUNCTION fn_pgqueuer_changed();
