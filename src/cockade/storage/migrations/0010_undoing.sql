-- The undoing of requests that gave more than one call takes back: in the background, lot by lot.
--
-- Code of the versions before goes on working here: it undoes within the call, however much it is, and knows nothing of
-- this table.

-- One row per such request. Its lots are those of a call that undoes: ten thousand lines, or a chunk of a job.
create table undoing (
    request_key      bigint      primary key,   -- of the request that is undone
    org_id           integer     not null,
    request_id       text        not null collate "C",
    state            text        not null,      -- cockade.undoing.model.UndoingState
    asked_at         timestamptz not null,
    asked_by         text        not null collate "C",
    touched_at       timestamptz not null,      -- when it last moved
    finished_at      timestamptz,
    lots             integer     not null,
    next_lot         integer     not null,      -- the first that is not taken back
    revoked          bigint      not null,
    already_revoked  bigint      not null,      -- in other ways, before
    failure          text
);
create index undoing_by_state on undoing (touched_at) where state in ('queued', 'running');
