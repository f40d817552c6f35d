-- The foundation: who may call, what can be earned, what was asked, and what was earned.
--
-- Large tables are request and earned_badge. So that they can be distributed one day (by request_id and by
-- customer_id), each of their unique keys contains that column, and no foreign key or trigger touches them.

create table org (
    org_id      integer generated always as identity (start with 1001) primary key,
    name        text        not null,
    time_zone   text        not null,          -- IANA name: decides calendar months, midnights, fixed windows
    created_at  timestamptz not null
);

create table credential (
    credential_id      bigint generated always as identity primary key,
    org_id             integer     not null references org,
    username           text        not null collate "C",
    access_group       text        not null check (access_group in ('default', 'read-only')),
    secret_hash        text        not null,    -- argon2id, as is the next
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

create table badge (
    badge_key            integer generated always as identity primary key,
    org_id               integer     not null references org,
    badge_id             text        not null collate "C" check (badge_id ~ '^[0-9a-f]{24}$'),
    badge_number         integer     not null,   -- counts up per org
    name                 text        not null collate "C",
    starts_at            timestamptz not null,
    expires_at           timestamptz not null check (expires_at > starts_at),
    earn_type            text        not null check (earn_type in ('EARN', 'ISSUE_EARN')),
    earned_expiry        json        not null,   -- cockade.badge.model.Expiry
    issued_expiry        json,
    owners               text[]      not null,
    overlap_policy       text check (overlap_policy in ('ALLOW', 'REJECT')),
    customer_constraints json        not null,   -- cockade.badge.model.Constraint, in the order that the badge lists them
    badge_constraints    json        not null,
    presentation         json        not null,   -- cockade.badge.model.Presentation: what no rule reads
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

-- One number per request; with the second of the request it makes the request key. It may come round again: two keys
-- would be equal only after 2^32 requests in one second.
create sequence request_number as bigint minvalue 0 maxvalue 4294967295 cycle;

-- One row per call that issued, enrolled or imported. The columns after kind are null only while the call is running.
create table request (
    org_id        integer     not null,
    request_id    text        not null collate "C",
    request_key   bigint      not null,
    kind          text        not null,
    decided_at    timestamptz,
    badge_key     integer,
    owner_type    text,
    reference_id  text,
    event_at      timestamptz,
    valid_until   timestamptz,
    audience      bigint[],               -- distinct customers in the order sent; the place is the line
    refusals      json,                   -- cockade.request.model.Refusal, by line
    primary key (org_id, request_id)
);
-- Both are written once and read seldom: compressing them costs more than it saves.
alter table request alter column audience set storage external;
alter table request alter column refusals set storage external;

-- The ledger. One narrow row per earned badge; rows are never deleted.
create table earned_badge (
    customer_id  bigint      not null,
    request_key  bigint      not null,
    valid_from   timestamptz not null,
    valid_until  timestamptz not null,
    revoked_at   timestamptz,
    badge_key    integer     not null,
    ordinal      integer     not null,    -- 1 + the highest that this customer ever had of this badge
    line         integer     not null,    -- the customer's place in the request
    primary key (badge_key, customer_id, ordinal)
);
