-- Limits, enrolments, history from elsewhere, stored counts, and what badges are sorted and described by.
--
-- Code of the first version goes on working here: what is new has defaults, and that code takes no badge with a limit.

-- Equal to valid_from in every unrevoked row of a badge that has a window per customer, and null in revoked ones; null
-- where a badge never had one, so that such badges pay nothing for the index.
alter table earned_badge add column counted_at timestamptz;
create index earned_badge_counted on earned_badge (badge_key, customer_id, counted_at) where counted_at is not null;

-- Whether the badge as a whole has a limit: whoever earns it holds it exclusively.
alter table badge add column is_capped boolean not null default false;

-- What lists of badges are filtered and sorted by; both are in presentation too, which SQL cannot look into: it may
-- hold texts that are no PostgreSQL text.
alter table badge add column badge_group_id text collate "C";
alter table badge add column badge_rank integer;
update badge
set badge_group_id = substring(presentation::text from '"badge_group_id":"([0-9a-f]{24})"'),
    badge_rank = substring(presentation::text from '"badge_rank":([0-9]+)')::integer;

-- How much of a badge with a limit as a whole was earned when: unrevoked ones by the UTC hour (grain_s 3600) and again by
-- the very instant (grain_s 0) of their events. A window adds whole hours, and instants at its two edges.
create table tally (
    badge_key  integer     not null references badge,
    grain_s    integer     not null check (grain_s in (0, 3600)),
    at         timestamptz not null,
    earned     bigint      not null,
    primary key (badge_key, grain_s, at)
);

-- How many unrevoked enrolments and earned badges there are of a badge: the sum of its slots. Requests on one badge run
-- side by side; each adds to one of several slots, so that they seldom wait for each other.
create table badge_count (
    badge_key  integer  not null references badge,
    slot       smallint not null,
    issued     bigint   not null,
    earned     bigint   not null,
    primary key (badge_key, slot)
) with (fillfactor = 50);
insert into badge_count (badge_key, slot, issued, earned)
select badge_key, 0, 0, count(*) from earned_badge where revoked_at is null group by badge_key;

-- The ledger of enrolments, of the same form as that of earned badges.
create table enrolment (
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

alter table request add column enrolment_id text;          -- kind EARN: what it was earned through
alter table request add column badge_keys integer[];       -- kind IMPORT: the badge of each line
alter table request add column valid_untils timestamptz[]; -- kind IMPORT: the expiry of each line
alter table request alter column badge_keys set storage external;
alter table request alter column valid_untils set storage external;
-- From an earned badge to the request that issued it.
create index request_by_key on request (request_key);

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
    tags        json        not null,    -- cockade.catalogue.model.TagDefinition
    created_at  timestamptz not null,
    created_by  text        not null,
    updated_at  timestamptz not null,
    updated_by  text        not null
);

-- What callers may name a customer by instead of her id.
create table customer_identifier (
    org_id       integer not null,
    kind         text    not null check (kind in ('email', 'mobile', 'externalId', 'cardNumber')),
    identifier   text    not null collate "C",
    customer_id  bigint  not null,
    primary key (org_id, kind, identifier)
);
