-- name: insert_undo
-- Returns no row if the request already has an undo.
insert into undo (
    request_key, org_id, request_id, state, created_at, created_by, updated_at, batches, next_batch, revoked,
    already_revoked)
values ($1, $2, $3, 'queued', $4, $5, $4, $6, 0, 0, 0)
on conflict (request_key) do nothing
returning request_key;

-- name: find_undo
select request_key, org_id, request_id, state, created_by, batches, next_batch, revoked, already_revoked, error
from undo where request_key = $1;

-- name: lock_undo
-- As find_undo, and locks the row: concurrent workers wait until the transaction ends.
select request_key, org_id, request_id, state, created_by, batches, next_batch, revoked, already_revoked, error
from undo where request_key = $1 for update;

-- name: requeue
-- Returns no row if the undo has not failed, or was queued by a concurrent request.
update undo set state = 'queued', updated_at = $2, error = null where request_key = $1 and state = 'failed'
returning request_key;

-- name: save_progress
update undo
set state = $2, updated_at = $3, finished_at = $4, next_batch = $5, revoked = $6, already_revoked = $7
where request_key = $1;

-- name: fail
update undo set state = 'failed', updated_at = $2, error = $3
where request_key = $1 and state in ('queued', 'running');

-- name: list_stalled
-- Unfinished undos without progress since $1 that are not in the queue.
select u.request_key from undo u
where u.state in ('queued', 'running') and u.updated_at < $1
  and not exists (select from pgqueuer q
                  where q.entrypoint = 'undo' and q.payload = convert_to(u.request_key::text, 'UTF8'));
