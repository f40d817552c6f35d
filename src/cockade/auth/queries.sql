-- name: insert_org
insert into org (name, time_zone, created_at) values ($1, $2, $3)
returning org_id, name, time_zone, created_at, request_id_is_key;

-- name: find_org
select org_id, name, time_zone, created_at, request_id_is_key from org where org_id = $1;

-- name: list_orgs
select org_id, name, time_zone, created_at, request_id_is_key from org order by org_id;

-- name: set_request_id_is_key
-- Returns no row if there is no such org or the value is unchanged.
update org set request_id_is_key = $2 where org_id = $1 and request_id_is_key <> $2 returning org_id;

-- name: insert_credential
-- A duplicate username or client key is reported by its constraint's name.
insert into credential
    (org_id, username, access_group, secret_hash, client_key, client_secret_hash, token_ttl_s, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8);

-- name: find_credential_by_username
select c.credential_id, c.username, c.org_id, o.time_zone, c.access_group,
       c.secret_hash, c.client_key, c.client_secret_hash, c.token_ttl_s, c.created_at, c.revoked_at, o.request_id_is_key
from credential c join org o using (org_id)
where c.username = $1 and c.revoked_at is null;

-- name: find_credential_by_client_key
select c.credential_id, c.username, c.org_id, o.time_zone, c.access_group,
       c.secret_hash, c.client_key, c.client_secret_hash, c.token_ttl_s, c.created_at, c.revoked_at, o.request_id_is_key
from credential c join org o using (org_id)
where c.client_key = $1 and c.revoked_at is null;

-- name: find_credential_by_id
select c.credential_id, c.username, c.org_id, o.time_zone, c.access_group,
       c.secret_hash, c.client_key, c.client_secret_hash, c.token_ttl_s, c.created_at, c.revoked_at, o.request_id_is_key
from credential c join org o using (org_id)
where c.credential_id = $1 and c.revoked_at is null;

-- name: list_credentials
-- All credentials or those of one org, including revoked ones.
select c.credential_id, c.username, c.org_id, o.time_zone, c.access_group,
       c.secret_hash, c.client_key, c.client_secret_hash, c.token_ttl_s, c.created_at, c.revoked_at, o.request_id_is_key
from credential c join org o using (org_id)
where $1::integer is null or c.org_id = $1
order by c.credential_id;

-- name: revoke_credential
-- A second revocation keeps the first date.
update credential set revoked_at = coalesce(revoked_at, $2) where username = $1 returning org_id, revoked_at = $2;

-- name: insert_first_signing_key
-- Two processes may both find no key; the fixed id keeps one row.
insert into signing_key (key_id, secret, created_at) values ($1, $2, $3) on conflict do nothing;

-- name: insert_signing_key
-- The new key must sort first, even if the clock of another machine is ahead; its id is one above the highest.
insert into signing_key (key_id, secret, created_at)
select (coalesce(max(key_id::bigint), 0) + 1)::text, $1,
       greatest($2::timestamptz, max(created_at) + interval '1 microsecond')
from signing_key;

-- name: lock_signing_keys
-- Serializes changes of keys. Reads do not wait.
lock table signing_key in share row exclusive mode;

-- name: delete_signing_key
delete from signing_key where key_id = $1;

-- name: list_signing_keys
-- Newest first: the newest signs, all verify.
select key_id, secret, created_at from signing_key order by created_at desc, key_id;

-- name: find_failed_logins
-- $1 username, $2 address, $3 start of the window, $4 and $5 limits per username and per address, $6 oldest login that
-- makes an address known. A limit of n is reached at the n-th newest failure.
select
    (select failed_at from failed_login where username_digest = $1 and failed_at > $3
     order by failed_at desc offset $4::integer - 1 limit 1) as username_full_at,
    (select failed_at from failed_login where address = $2 and failed_at > $3
     order by failed_at desc offset $5::integer - 1 limit 1) as address_full_at,
    (select failed_at from failed_login where username_digest = $1 and address = $2 and failed_at > $3
     order by failed_at desc offset $4::integer - 1 limit 1) as pair_full_at,
    exists (select from failed_login where username_digest = $1 and address = $2 and failed_at > $3) as pair_failed,
    (select last_success_at from known_login_address where username_digest = $1 and address = $2 and last_success_at > $6) as last_success_at;

-- name: insert_failed_login
insert into failed_login (username_digest, address, failed_at) values ($1, $2, $3);

-- name: delete_old_failed_logins
-- Deletes a limited number of rows and skips those that another process is deleting.
delete from failed_login where ctid = any(array(
    select ctid from failed_login where failed_at <= $1 order by failed_at limit 1000 for update skip locked));

-- name: delete_failed_logins_of_pair
delete from failed_login where username_digest = $1 and address = $2;

-- name: upsert_known_login_address
insert into known_login_address (username_digest, address, last_success_at) values ($1, $2, $3)
on conflict (username_digest, address) do update set last_success_at = greatest(known_login_address.last_success_at, excluded.last_success_at);

-- name: delete_old_known_login_addresses
delete from known_login_address where last_success_at <= $1;
