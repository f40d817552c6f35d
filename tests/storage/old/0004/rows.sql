insert into guess (name_digest, address, guessed_at) values ('\x01', '127.0.0.1', '2026-02-01');
insert into known_address (name_digest, address, proved_at) values ('\x02', '127.0.0.1', '2026-02-01');
insert into call_lease (credential_id, minute, taken, lease)
select min(credential_id), '2026-02-01', 1, 1 from credential having min(credential_id) is not null;
