insert into outbox (org_id, at, request_key, part, ends_at)
select org_id, '2026-02-01', 4, 0, '2026-03-01' from org;
insert into outbox (org_id, position, at, request_key, ledger, ended_key, ended_part, ended_from, ended_until)
select org_id, nextval('outbox_position'), '2026-03-01', 5, 'earned_badge', 4, 0, '2026-03-01', '2026-03-01' from org;
insert into ending (org_id, request_key, part, ends_at) select org_id, 4, 1, '2027-03-01' from org;
