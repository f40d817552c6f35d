-- name: drop_yardstick
drop table if exists yardstick;

-- name: create_yardstick
-- A ledger like the real one, with its keys and indexes, and nothing in it.
create table yardstick (like earned_badge including all);

-- name: list_batches
-- What the service has written of a badge, batch by batch in the order in which it wrote it.
select e.* from earned_badge e join badge b using (badge_key)
where b.badge_id = $1
order by e.request_key, e.customer_id;

-- name: count_earned
select count(*) from earned_badge e join badge b using (badge_key) where b.badge_id = $1;

-- name: create_reference
create database reference;

-- name: insert_reference_badge
insert into badge (badge_id, owner_type, reference_id, starts_at, expires_at)
values ($1, 'Loyalty', '123457', $2, $3);

-- name: server_version
show server_version;
