-- name: insert_group
insert into badge_group (
    org_id, group_id, name, rank, is_active, created_at, created_by, updated_at, updated_by)
values ($1, $2, $3, $4, true, $5, $6, $5, $6)
returning org_id, created_at, created_by, updated_at, updated_by, group_id, name, rank, is_active;

-- name: update_group
-- Null keeps the current value. $4 replaces the rank if $5 is true.
update badge_group
set name = coalesce($3, name), rank = case when $5 then $4 else rank end, is_active = coalesce($6, is_active),
    updated_at = $7, updated_by = $8
where org_id = $1 and group_id = $2
returning org_id, created_at, created_by, updated_at, updated_by, group_id, name, rank, is_active;

-- name: find_group
select org_id, created_at, created_by, updated_at, updated_by, group_id, name, rank, is_active
from badge_group where org_id = $1 and group_id = $2;

-- name: lock_group
-- Locks the row until the end of the transaction.
select org_id, created_at, created_by, updated_at, updated_by, group_id, name, rank, is_active
from badge_group where org_id = $1 and group_id = $2
for no key update;

-- name: list_groups
select org_id, created_at, created_by, updated_at, updated_by, group_id, name, rank, is_active
from badge_group where org_id = $1
order by rank nulls last, name, group_id
limit $2 offset $3;

-- name: count_groups
select count(*) from badge_group where org_id = $1;

-- name: group_names
select group_id, name from badge_group where org_id = $1 and group_id = any($2::text[]);

-- name: insert_field
-- A duplicate name violates the constraint custom_field_name_unique.
insert into custom_field (
    org_id, field_id, name, data_type, is_mandatory, default_value, is_active,
    created_at, created_by, updated_at, updated_by)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $8, $9)
returning org_id, created_at, created_by, updated_at, updated_by,
          field_id, name, data_type, is_mandatory, default_value, is_active;

-- name: update_field
update custom_field
set name = $3, is_mandatory = $4, default_value = $5, is_active = $6, updated_at = $7, updated_by = $8
where org_id = $1 and field_id = $2
returning org_id, created_at, created_by, updated_at, updated_by,
          field_id, name, data_type, is_mandatory, default_value, is_active;

-- name: find_field
select org_id, created_at, created_by, updated_at, updated_by,
       field_id, name, data_type, is_mandatory, default_value, is_active
from custom_field where org_id = $1 and field_id = $2;

-- name: lock_field
-- Locks the row until the end of the transaction, after waiting for a concurrent change.
select org_id, created_at, created_by, updated_at, updated_by,
       field_id, name, data_type, is_mandatory, default_value, is_active
from custom_field where org_id = $1 and field_id = $2
for no key update;

-- name: list_fields
-- Newest first. No limit if $2 is null.
select org_id, created_at, created_by, updated_at, updated_by,
       field_id, name, data_type, is_mandatory, default_value, is_active
from custom_field where org_id = $1
order by created_at desc, field_id desc
limit $2 offset $3;

-- name: count_fields
select count(*) from custom_field where org_id = $1;

-- name: insert_org_meta
-- Returns no row if the org already has an org meta.
insert into org_meta (org_id, meta_id, tags, created_at, created_by, updated_at, updated_by)
values ($1, $2, $3, $4, $5, $4, $5)
on conflict (org_id) do nothing
returning org_id, created_at, created_by, updated_at, updated_by, meta_id, tags;

-- name: update_org_meta
update org_meta set tags = $2, updated_at = $3, updated_by = $4
where org_id = $1
returning org_id, created_at, created_by, updated_at, updated_by, meta_id, tags;

-- name: find_org_meta
select org_id, created_at, created_by, updated_at, updated_by, meta_id, tags
from org_meta where org_id = $1;

-- name: lock_org_meta
-- Locks the row until the end of the transaction.
select org_id, created_at, created_by, updated_at, updated_by, meta_id, tags
from org_meta where org_id = $1
for no key update;
