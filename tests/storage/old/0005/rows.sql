insert into kept_answer (org_id, key, fingerprint, status, body, request_id, kept_at)
select min(org_id), 'old', '\x01', 201, '\x7b7d', null, '2026-02-01'::timestamptz from org having min(org_id) is not null;
update org set request_id_is_key = true;
