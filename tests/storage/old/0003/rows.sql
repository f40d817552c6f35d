insert into audit_entry (org_id, at, username, action, badge_id, subject, details)
select org_id, '2026-02-01', 'old', 'badge.create', null, 'x', '{}' from org order by org_id limit 1;
