-- name: try_lock_key
-- Until the end of the transaction. Does not wait.
select pg_try_advisory_xact_lock($1);

-- name: lock_key
-- Until the end of the transaction. Waits for a concurrent holder.
select pg_advisory_xact_lock($1);

-- name: find_response
-- Runs as a separate statement after the key is locked, so that it sees what was committed before.
select fingerprint, status, body, request_id from idempotency_key where org_id = $1 and key = $2 and created_at >= $3;

-- name: insert_response
-- Replaces an expired response under the same key.
insert into idempotency_key (org_id, key, fingerprint, status, body, request_id, created_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (org_id, key) do update
set fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
    request_id = excluded.request_id, created_at = excluded.created_at;

-- name: delete_expired
-- Deletes some expired responses, oldest first. Skips rows that a concurrent cleanup is deleting.
with old as (select org_id, key from idempotency_key where created_at < $1 order by created_at limit $2 for update skip locked),
     deleted as (delete from idempotency_key k using old where k.org_id = old.org_id and k.key = old.key returning 1)
select count(*) from deleted;
