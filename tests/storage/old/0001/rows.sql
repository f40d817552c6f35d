-- What the code of the foundation writes: a badge is created, claimed and issued to four customers, one of whom has it
-- taken back; another request meets a holder. Its statements, with values; COPY is written as INSERT.

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
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active,
    created_at, created_by, updated_at, updated_by)
select org_id, '653de334b3cda7078c7c68eb', 1, 'old badge', '2026-01-01', '2126-01-01', 'EARN', '{"type":"never"}', null,
       array['Loyalty'], null, '[{"constraintType":"CUSTOMER_BADGE_FIXED_VALUE","maxEarnLimit":1}]',
       '[{"constraintType":"BADGE_NO_LIMIT"}]',
       '{"description":"a \u0000","images":[],"benefits":[],"tags":[{"name":"season","value":"spring"}],'
       '"badge_group_id":"0123456789abcdef01234567","badge_rank":7,"custom_fields":{"color":"red"},"default_till_id":null}',
       true, '2026-01-01', 'old', '2026-01-01', 'old'
from org;
insert into badge (
    org_id, badge_id, badge_number, name, starts_at, expires_at, earn_type, earned_expiry, issued_expiry, owners,
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active,
    created_at, created_by, updated_at, updated_by)
select org_id, '653de334b3cda7078c7c68ec', 2, 'old badge that is off', '2026-01-01', '2026-02-01', 'EARN',
       '{"type":"relative","unit":"MONTHS","value":12}', null, array['Loyalty', 'GoalSetting'], 'ALLOW', '[]', '[]',
       '{"description":null,"images":[],"benefits":[],"tags":[],"badge_group_id":null,"badge_rank":null,'
       '"custom_fields":{},"default_till_id":null}',
       true, '2026-01-02', 'old', '2026-01-02', 'old'
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
set decided_at = '2026-02-01', badge_key = (select badge_key from badge where badge_number = 1), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-01', valid_until = '2126-02-01', audience = '{1,2,3,4}', refusals = '[]'
where request_id = 'old';

insert into request (org_id, request_id, request_key, kind)
select org_id, 'old-2', ((1769904001::bigint % 4294967296) << 32) | nextval('request_number'), 'EARN_BULK' from org
on conflict (org_id, request_id) do nothing;
update request
set decided_at = '2026-02-02', badge_key = (select badge_key from badge where badge_number = 1), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-02', valid_until = '2126-02-02', audience = '{2}',
    refusals = '[[0,1040,"697e97000000000000000001","LIVE"]]'
where request_id = 'old-2';

update earned_badge set revoked_at = '2026-03-01'
where customer_id = 3 and line = 2 and revoked_at is null and valid_until > '2026-03-01';
