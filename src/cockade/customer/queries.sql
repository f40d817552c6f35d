-- name: put_identifiers
-- Assigns each identifier to its customer and returns how many are new and how many belonged to another customer.
-- Identifiers must be distinct. They are written in a fixed order, so that concurrent requests cannot deadlock. xmax is
-- 0 for rows that were inserted and not updated.
with put as (
    insert into customer_identifier as stored (org_id, kind, identifier, customer_id)
    select $1, sent.kind, sent.identifier, sent.customer_id
    from unnest($2::text[], $3::text[], $4::bigint[]) as sent (kind, identifier, customer_id)
    order by sent.kind collate "C", sent.identifier collate "C"
    on conflict (org_id, kind, identifier) do update set customer_id = excluded.customer_id
    where stored.customer_id <> excluded.customer_id
    returning xmax = 0 as is_new)
select count(*) filter (where is_new), count(*) filter (where not is_new) from put;

-- name: find_customer
select customer_id from customer_identifier where org_id = $1 and kind = $2 and identifier = $3;

-- name: erase_identifiers
with erased as (delete from customer_identifier where org_id = $1 and customer_id = $2 returning 1)
select count(*) from erased;

-- name: move_identifiers
with moved as (update customer_identifier set customer_id = $3 where org_id = $1 and customer_id = $2 returning 1)
select count(*) from moved;
