-- name: ask
-- No row: somebody has asked for it before.
insert into undoing (request_key, org_id, request_id, state, asked_at, asked_by, touched_at, lots, next_lot, revoked,
                     already_revoked)
values ($1, $2, $3, 'queued', $4, $5, $4, $6, 0, 0, 0)
on conflict (request_key) do nothing
returning request_key;

-- name: find_undoing
select request_key, org_id, request_id, state, asked_by, lots, next_lot, revoked, already_revoked, failure
from undoing where request_key = $1;

-- name: lock_undoing
-- As find_undoing. Whoever else works on it waits until this transaction ends.
select request_key, org_id, request_id, state, asked_by, lots, next_lot, revoked, already_revoked, failure
from undoing where request_key = $1 for update;

-- name: queue_again
-- No row: it has not failed, or somebody else was quicker.
update undoing set state = 'queued', touched_at = $2, failure = null where request_key = $1 and state = 'failed'
returning request_key;

-- name: advance
update undoing
set state = $2, touched_at = $3, finished_at = $4, next_lot = $5, revoked = $6, already_revoked = $7
where request_key = $1;

-- name: fail
update undoing set state = 'failed', touched_at = $2, failure = $3
where request_key = $1 and state in ('queued', 'running');

-- name: list_forgotten
-- Those that have something to do, have not moved since $1, and are not in the queue.
select u.request_key from undoing u
where u.state in ('queued', 'running') and u.touched_at < $1
  and not exists (select from pgqueuer q
                  where q.entrypoint = 'undo' and q.payload = convert_to(u.request_key::text, 'UTF8'));
