insert into outbox (org_id, position, at, request_key, badge_key, ledger, customers, request_keys, lines)
select org_id, nextval('outbox_position'), '2026-02-01', 4, min(badge_key), 'earned_badge', '{1}', '{1}', '{0}'
from badge group by org_id;
insert into webhook (
    org_id, webhook_id, url, description, kinds, badge_ids, secret, is_active, position, line, ahead, failures,
    created_at, created_by, updated_at, updated_by)
select org_id, '0123456789abcdef01234567', 'https://hooks.example.org', '', '{badgeEarned}', null, 'whsec_MDEyMzQ1Njc4OWFiY2RlZg==',
       false, 0, 2147483647, '{}', 0, '2026-02-01', 'old', '2026-02-01', 'old'
from org;
insert into webhook_attempt (org_id, webhook_id, at, event_id, kind, status, error, duration_ms)
select org_id, '0123456789abcdef01234567', '2026-02-01', '0123456789abcdef01234567', 'badgeEarned', 204, null, 5 from org;
