-- name: reserve
-- $1 credential, $2 minute, $3 number of requests, $4 limit. A process whose clock is behind reserves from the stored
-- minute.
insert into rate_limit_window as l (credential_id, minute, used, reserved)
values ($1, $2, least($3::integer, $4::integer), least($3::integer, $4::integer))
on conflict (credential_id) do update set
    minute = greatest(l.minute, excluded.minute),
    reserved = case when excluded.minute > l.minute then excluded.reserved else greatest(least($3, $4 - l.used), 0) end,
    used = case when excluded.minute > l.minute then excluded.reserved else greatest(least($3 + l.used, $4), l.used) end
returning reserved, used;
