-- Rows as the code of this version writes them: badges with and without limits, requests of every kind, enrolments, an
-- import, a job, an undo, events and a webhook. Its statements with values; COPY is written as INSERT. Fills every table.

insert into org (name, time_zone, created_at) values ('old', 'Europe/Berlin', '2026-01-01');

insert into credential
    (org_id, username, access_group, secret_hash, client_key, client_secret_hash, token_ttl_s, created_at)
select org_id, 'old', 'default',
       '$argon2id$v=19$m=65536,t=3,p=4$RKgqf3Kze/RajBVUWQo6nQ$/PVe3fAPvX6kCF63TPQ2M7looGdvaXFS2qj8SpAAOYA',
       'old-client',
       '$argon2id$v=19$m=65536,t=3,p=4$qtMOfCVwf6KjitZEanTtSg$WIa/mwsLE+KjIefEQeQRUccBHZHlP7CK1NYQXM81GWM',
       3600, '2026-01-01'
from org;
insert into credential
    (org_id, username, access_group, secret_hash, client_key, client_secret_hash, token_ttl_s, created_at)
select org_id, 'leaver', 'read-only', 'none', 'leaver-client', 'none', 60, '2026-01-01' from org;
update credential set revoked_at = coalesce(revoked_at, '2026-02-01') where username = 'leaver';

insert into signing_key (key_id, secret, created_at)
values ('old', decode(repeat('5a', 32), 'hex'), '2026-01-01') on conflict do nothing;

insert into badge (
    org_id, badge_id, badge_number, name, starts_at, expires_at, earn_type, earned_expiry, issued_expiry, owners,
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active, has_badge_limit,
    created_at, created_by, updated_at, updated_by)
select org_id, '653de334b3cda7078c7c68eb', 1, 'old badge', '2026-01-01', '2126-01-01', 'EARN', '{"type":"never"}', null,
       array['Loyalty'], null, '[{"constraintType":"CUSTOMER_BADGE_FIXED_VALUE","maxEarnLimit":1}]',
       '[{"constraintType":"BADGE_NO_LIMIT"}]',
       '{"description":"a \u0000","images":[],"benefits":[],"tags":[{"name":"season","value":"spring"}],'
       '"badge_group_id":"0123456789abcdef01234567","badge_rank":7,"custom_fields":{"color":"red"},"default_till_id":null}',
       true, false, '2026-01-01', 'old', '2026-01-01', 'old'
from org;
insert into badge (
    org_id, badge_id, badge_number, name, starts_at, expires_at, earn_type, earned_expiry, issued_expiry, owners,
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active, has_badge_limit,
    created_at, created_by, updated_at, updated_by)
select org_id, '653de334b3cda7078c7c68ec', 2, 'old badge that is off', '2026-01-01', '2026-02-01', 'EARN',
       '{"type":"relative","unit":"MONTHS","value":12}', null, array['Loyalty', 'GoalSetting'], 'ALLOW', '[]', '[]',
       '{"description":null,"images":[],"benefits":[],"tags":[],"badge_group_id":null,"badge_rank":null,'
       '"custom_fields":{},"default_till_id":null}',
       true, false, '2026-01-02', 'old', '2026-01-02', 'old'
from org;
update badge set is_active = false, updated_at = '2026-01-03', updated_by = 'old'
where badge_id = '653de334b3cda7078c7c68ec';

insert into badge_claim (badge_key, owner_type, reference_id, is_active)
select badge_key, 'Loyalty', '123457', true from badge where badge_number = 1
on conflict (badge_key, owner_type, reference_id) do update set is_active = true;
insert into badge_claim (badge_key, owner_type, reference_id, is_active)
select badge_key, 'Loyalty', '9', true from badge
on conflict (badge_key, owner_type, reference_id) do update set is_active = true;
update badge_claim set is_active = false
where owner_type = 'Loyalty' and reference_id = '9' and is_active;

insert into request (org_id, request_id, request_key, kind)
select org_id, 'old', ((1769904000::bigint % 4294967296) << 32) | nextval('request_number'), 'EARN_BULK' from org
on conflict (org_id, request_id) do nothing;
insert into earned_badge (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)
select customer, request_key, '2026-02-01', '2126-02-01', badge.badge_key, 1, customer - 1
from request, badge, generate_series(1, 4) customer
where request_id = 'old' and badge_number = 1;
update request
set completed_at = '2026-02-01', badge_key = (select badge_key from badge where badge_number = 1), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-01', valid_until = '2126-02-01', customer_ids = '{1,2,3,4}', failures = '[]'
where request_id = 'old';

insert into request (org_id, request_id, request_key, kind)
select org_id, 'old-2', ((1769904001::bigint % 4294967296) << 32) | nextval('request_number'), 'EARN_BULK' from org
on conflict (org_id, request_id) do nothing;
update request
set completed_at = '2026-02-02', badge_key = (select badge_key from badge where badge_number = 1), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-02', valid_until = '2126-02-02', customer_ids = '{2}',
    failures = '[[0,1040,"697e97000000000000000001","LIVE"]]'
where request_id = 'old-2';

update earned_badge set revoked_at = '2026-03-01'
where customer_id = 3 and line = 2 and revoked_at is null and valid_until > '2026-03-01';

insert into badge_group (
    org_id, group_id, name, rank, is_active, created_at, created_by, updated_at, updated_by)
select org_id, '0123456789abcdef01234567', 'old group', 1, true, '2026-01-01', 'old', '2026-01-01', 'old' from org;

insert into custom_field (
    org_id, field_id, name, data_type, is_mandatory, default_value, is_active,
    created_at, created_by, updated_at, updated_by)
select org_id, '0123456789abcdef01234568', 'color', 'STRING', true, '"red"', true,
       '2026-01-01', 'old', '2026-01-01', 'old'
from org;

insert into org_meta (org_id, meta_id, tags, created_at, created_by, updated_at, updated_by)
select org_id, '0123456789abcdef01234569',
       '[{"key":"season","dataType":"STRING","description":null,"mandatory":false}]',
       '2026-01-01', 'old', '2026-01-01', 'old'
from org
on conflict (org_id) do nothing;

insert into customer_identifier (org_id, kind, identifier, customer_id)
select org_id, 'email', 'ada@example.com', 11 from org;

insert into badge (
    org_id, badge_id, badge_number, name, starts_at, expires_at, earn_type, earned_expiry, issued_expiry, owners,
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active, has_badge_limit,
    badge_group_id, badge_rank, created_at, created_by, updated_at, updated_by)
select org_id, '653de334b3cda7078c7c68ed', 3, 'old badge with limits', '2026-01-01', '2126-01-01', 'ISSUE_EARN',
       '{"type":"never"}', '{"type":"badge"}', array['Loyalty'], null,
       '[{"constraintType":"CUSTOMER_BADGE_ROLLING_WINDOW","maxEarnForDays":1,"rollForDays":30}]',
       '[{"constraintType":"BADGE_FIXED_VALUE","maxEarnLimit":2}]',
       '{"description":null,"images":[],"benefits":[],"tags":[],"badge_group_id":"0123456789abcdef01234567",'
       '"badge_rank":3,"custom_fields":{"color":"red"},"default_till_id":null}',
       true, true, '0123456789abcdef01234567', 3, '2026-01-03', 'old', '2026-01-03', 'old'
from org;
insert into badge_claim (badge_key, owner_type, reference_id, is_active)
select badge_key, 'Loyalty', '123457', true from badge where badge_number = 3
on conflict (badge_key, owner_type, reference_id) do update set is_active = true;

insert into request (org_id, request_id, request_key, kind)
select org_id, 'old-enrolling', ((1770000000::bigint % 4294967296) << 32) | nextval('request_number'), 'ISSUE_BULK'
from org
on conflict (org_id, request_id) do nothing;
insert into enrolment (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)
select customer, request_key, '2026-02-01', '2126-01-01', badge.badge_key, 1, customer - 11
from request, badge, generate_series(11, 12) customer
where request_id = 'old-enrolling' and badge_number = 3;
update request
set completed_at = '2026-02-01', badge_key = (select badge_key from badge where badge_number = 3), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-01', valid_until = '2126-01-01', customer_ids = '{11,12}', failures = '[]',
    enrolment_id = null
where request_id = 'old-enrolling';
update enrolment set revoked_at = '2026-03-01'
where customer_id = 12 and revoked_at is null and valid_until > '2026-03-01';

insert into request (org_id, request_id, request_key, kind)
select org_id, 'old-earning', ((1770000001::bigint % 4294967296) << 32) | nextval('request_number'), 'EARN' from org
on conflict (org_id, request_id) do nothing;
insert into earned_badge
    (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line, counted_at)
select 11, request_key, '2026-02-02', '2126-02-02', badge.badge_key, 1, 0, '2026-02-02'
from request, badge
where request_id = 'old-earning' and badge_number = 3;
insert into badge_limit_counter as t (badge_key, bucket_s, bucket_start, earned)
select badge_key, bucket_s, '2026-02-02', 1 from badge, unnest(array[0, 3600]) bucket_s where badge_number = 3
on conflict (badge_key, bucket_s, bucket_start) do update set earned = t.earned + excluded.earned;
insert into badge_count as c (badge_key, shard, issued, earned)
select badge_key, 5, 1, 1 from badge where badge_number = 3
on conflict (badge_key, shard) do update set issued = c.issued + excluded.issued, earned = c.earned + excluded.earned;
update request
set completed_at = '2026-02-02', badge_key = (select badge_key from badge where badge_number = 3), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-02', valid_until = '2126-02-02', customer_ids = '{11}', failures = '[]',
    enrolment_id = '69800000000000000000000b'
where request_id = 'old-earning';

insert into request (org_id, request_id, request_key, kind)
select org_id, 'old-import', ((1770000002::bigint % 4294967296) << 32) | nextval('request_number'), 'IMPORT' from org
on conflict (org_id, request_id) do nothing;
insert into earned_badge
    (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line, counted_at)
select 21, request_key, '2025-02-02', '2126-02-02', badge.badge_key, 1, 0, null
from request, badge
where request_id = 'old-import' and badge_number = 1;
update request
set completed_at = '2026-02-03', owner_type = null,
    badge_keys = (select array_agg(badge_key) from badge where badge_number = 1), customer_ids = '{21}',
    valid_untils = array['2126-02-02'::timestamptz], failures = '[]'
where request_id = 'old-import';
insert into audit_entry (org_id, at, username, action, badge_id, subject, details)
select org_id, '2026-02-01', 'old', 'badge.create', null, 'x', '{}' from org order by org_id limit 1;
insert into failed_login (username_digest, address, failed_at) values ('\x01', '127.0.0.1', '2026-02-01');
insert into known_login_address (username_digest, address, last_success_at) values ('\x02', '127.0.0.1', '2026-02-01');
insert into rate_limit_window (credential_id, minute, used, reserved)
select min(credential_id), '2026-02-01', 1, 1 from credential having min(credential_id) is not null;
insert into idempotency_key (org_id, key, fingerprint, status, body, request_id, created_at)
select min(org_id), 'old', '\x01', 201, '\x7b7d', null, '2026-02-01'::timestamptz from org having min(org_id) is not null;
update org set request_id_is_key = true;
insert into job (job_key, org_id, request_id, badge_id, owner_type, reference_id, event_at, is_dry_run, state, created_at,
                 created_by, updated_at, upload_attempt, layout, lines, chunks, is_deduplicated, next_chunk, processed, counts, files_retained)
select 7649436350480777217, min(org_id), 'old-job', '653de334b3cda7078c7c68eb', 'Loyalty', '123457', '2026-02-01', false,
       'completed', '2026-02-01', 'old', '2026-02-01', 1, '{"format":"text/csv"}', 2, 1, true, 1, 2,
       '{"issued":1,"malformed":1}', true
from org having min(org_id) is not null;
insert into job_chunk (job_key, number, first_line, customer_ids, raw_lines, line_errors, duplicates, decided_at, failures)
values (7649436350480777217, 0, 0, '{5,0}', '\x78', '[[1,2,400,"x","no customer"]]', '{}', '2026-02-01', '[]');
insert into pgqueuer (priority, created, updated, heartbeat, execute_after, status, entrypoint, payload)
values (0, '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01', 'queued', 'job', '7649436350480777217');
insert into pgqueuer_log (created, job_id, status, priority, entrypoint) values ('2026-02-01', 1, 'queued', 0, 'job');
insert into pgqueuer_statistics (created, count, priority, status, entrypoint) values ('2026-02-01', 1, 0, 'queued', 'job');
insert into pgqueuer_schedules (expression, entrypoint, heartbeat, created, updated, next_run)
values ('* * * * *', 'none', '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01');
insert into outbox (org_id, position, at, request_key, badge_key, ledger, customer_ids, request_keys, lines)
select org_id, nextval('outbox_position'), '2026-02-01', 4, min(badge_key), 'earned_badge', '{1}', '{1}', '{0}'
from badge group by org_id;
insert into webhook (
    org_id, webhook_id, url, description, kinds, badge_ids, secret, is_active, position, line, delivered_ahead, failures,
    created_at, created_by, updated_at, updated_by)
select org_id, '0123456789abcdef01234567', 'https://hooks.example.org', '', '{badgeEarned}', null, 'whsec_MDEyMzQ1Njc4OWFiY2RlZg==',
       false, 0, 2147483647, '{}', 0, '2026-02-01', 'old', '2026-02-01', 'old'
from org;
insert into webhook_attempt (org_id, webhook_id, at, event_id, kind, status, error, duration_ms)
select org_id, '0123456789abcdef01234567', '2026-02-01', '0123456789abcdef01234567', 'badgeEarned', 204, null, 5 from org;
insert into outbox (org_id, at, request_key, chunk, expires_at)
select org_id, '2026-02-01', 4, 0, '2026-03-01' from org;
insert into outbox (org_id, position, at, request_key, ledger, expired_key, expired_chunk, expired_from, expired_until)
select org_id, nextval('outbox_position'), '2026-03-01', 5, 'earned_badge', 4, 0, '2026-03-01', '2026-03-01' from org;
insert into pending_expiry (org_id, request_key, chunk, expires_at) select org_id, 4, 1, '2027-03-01' from org;
insert into undo (request_key, org_id, request_id, state, created_at, created_by, updated_at, batches, next_batch, revoked,
                     already_revoked)
select 7649436350480777217, min(org_id), 'old-job', 'queued', '2026-02-02', 'old', '2026-02-02', 1, 0, 0, 0
from org having min(org_id) is not null;
