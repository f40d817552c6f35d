-- name: try_lock_key
-- Until the end of the transaction, if nobody else has it; nobody is waited for.
select pg_try_advisory_xact_lock($1);

-- name: lock_key
-- Likewise, and whoever has it is waited for.
select pg_advisory_xact_lock($1);

-- name: find_response
-- In a statement of its own, after the key is held: it shows what was committed before that.
select fingerprint, status, body, request_id from idempotency_key where org_id = $1 and key = $2 and created_at >= $3;

-- name: insert_response
-- A key that was used before has been found to be out of date.
insert into idempotency_key (org_id, key, fingerprint, status, body, request_id, created_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (org_id, key) do update
set fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
    request_id = excluded.request_id, created_at = excluded.created_at;

-- name: delete_expired
-- A few of those that are out of date, the oldest first; those that somebody else is just forgetting are left to her.
with old as (select org_id, key from idempotency_key where created_at < $1 order by created_at limit $2 for update skip locked),
     deleted as (delete from idempotency_key k using old where k.org_id = old.org_id and k.key = old.key returning 1)
select count(*) from deleted;
