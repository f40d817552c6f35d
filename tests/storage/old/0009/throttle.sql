-- name: find_guesses
-- $1 name, $2 address, $3 the window's begin, $4 and $5 guesses allowed per name and per address, $6 since when an
-- address is known. A bound of n is full from the n-th newest guess on.
select
    (select guessed_at from guess where name_digest = $1 and guessed_at > $3
     order by guessed_at desc offset $4::integer - 1 limit 1) as name_full_at,
    (select guessed_at from guess where address = $2 and guessed_at > $3
     order by guessed_at desc offset $5::integer - 1 limit 1) as address_full_at,
    (select guessed_at from guess where name_digest = $1 and address = $2 and guessed_at > $3
     order by guessed_at desc offset $4::integer - 1 limit 1) as pair_full_at,
    exists (select from guess where name_digest = $1 and address = $2 and guessed_at > $3) as pair_guessed,
    (select proved_at from known_address where name_digest = $1 and address = $2 and proved_at > $6) as proved_at;

-- name: insert_guess
insert into guess (name_digest, address, guessed_at) values ($1, $2, $3);

-- name: delete_old_guesses
-- A few at a time, and never those that somebody else is just deleting.
delete from guess where ctid = any(array(
    select ctid from guess where guessed_at <= $1 order by guessed_at limit 1000 for update skip locked));

-- name: delete_guesses_of_pair
delete from guess where name_digest = $1 and address = $2;

-- name: upsert_known_address
insert into known_address (name_digest, address, proved_at) values ($1, $2, $3)
on conflict (name_digest, address) do update set proved_at = greatest(known_address.proved_at, excluded.proved_at);

-- name: delete_old_known_addresses
delete from known_address where proved_at <= $1;

-- name: take_lease
-- $1 credential, $2 minute, $3 how many, $4 limit. A clock that is behind takes from the minute that others are in.
insert into call_lease as l (credential_id, minute, taken, lease)
values ($1, $2, least($3::integer, $4::integer), least($3::integer, $4::integer))
on conflict (credential_id) do update set
    minute = greatest(l.minute, excluded.minute),
    lease = case when excluded.minute > l.minute then excluded.lease else greatest(least($3, $4 - l.taken), 0) end,
    taken = case when excluded.minute > l.minute then excluded.lease else greatest(least($3 + l.taken, $4), l.taken) end
returning lease, taken;
