-- Answers that are kept for those who send the same call again.
--
-- Code of the versions before goes on working here: it knows nothing of them and keeps none.

-- One row per call that came with an idempotency key and changed something, written with what it changed.
create table kept_answer (
    org_id       integer     not null,
    key          text        not null collate "C",
    fingerprint  bytea       not null,    -- of what the call asked for
    status       smallint    not null,
    body         bytea,                   -- null: it is made of the request's outcome again
    request_id   text        collate "C", -- whose outcome that is
    kept_at      timestamptz not null,
    primary key (org_id, key)
);
create index kept_answer_by_time on kept_answer (kept_at);

-- Whether an org's request ids are idempotency keys, so that a repeated one is no 809.
alter table org add column request_id_is_key boolean not null default false;
