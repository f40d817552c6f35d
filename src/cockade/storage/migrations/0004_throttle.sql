-- What keeps callers in bounds: guesses, the addresses that names are known from, and calls per minute.
--
-- Code of the versions before goes on working here: it knows none of these tables.

-- A name that was given with a wrong secret. Unlogged, for a crash may forget what is forgotten after minutes anyway.
create unlogged table guess (
    name_digest  bytea       not null,                -- whatever was typed as a name is kept nowhere
    address      text        not null collate "C",    -- of IPv6 the network of 64 bits
    guessed_at   timestamptz not null
);
create index guess_by_name on guess (name_digest, guessed_at);
create index guess_by_address on guess (address, guessed_at);
create index guess_by_time on guess (guessed_at);

-- From where a name has proved itself, written once an hour at most.
create table known_address (
    name_digest  bytea       not null,
    address      text        not null collate "C",
    proved_at    timestamptz not null,
    primary key (name_digest, address)
);

-- Calls of a credential in a minute, taken by processes some at a time; empty unless the setting is on.
create unlogged table call_lease (
    credential_id  bigint      primary key,
    minute         timestamptz not null,
    taken          integer     not null,    -- by all processes
    lease          integer     not null     -- by the last one that asked
) with (fillfactor = 50);
