-- name: reserve
-- $1 credential, $2 minute, $3 how many, $4 limit. A clock that is behind takes from the minute that others are in.
insert into rate_limit_window as l (credential_id, minute, used, reserved)
values ($1, $2, least($3::integer, $4::integer), least($3::integer, $4::integer))
on conflict (credential_id) do update set
    minute = greatest(l.minute, excluded.minute),
    reserved = case when excluded.minute > l.minute then excluded.reserved else greatest(least($3, $4 - l.used), 0) end,
    used = case when excluded.minute > l.minute then excluded.reserved else greatest(least($3 + l.used, $4), l.used) end
returning reserved, used;
