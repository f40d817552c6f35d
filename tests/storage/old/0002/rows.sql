-- What is new with limits, enrolments, reads and imports: a badge with limits in a group, two customers enrolled in it,
-- one of whom earns it and one of whom is revoked; an import; a customer with a name.

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
    overlap_policy, customer_constraints, badge_constraints, presentation, is_active, is_capped,
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
set decided_at = '2026-02-01', badge_key = (select badge_key from badge where badge_number = 3), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-01', valid_until = '2126-01-01', audience = '{11,12}', refusals = '[]',
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
insert into tally as t (badge_key, grain_s, at, earned)
select badge_key, grain_s, '2026-02-02', 1 from badge, unnest(array[0, 3600]) grain_s where badge_number = 3
on conflict (badge_key, grain_s, at) do update set earned = t.earned + excluded.earned;
insert into badge_count as c (badge_key, slot, issued, earned)
select badge_key, 5, 1, 1 from badge where badge_number = 3
on conflict (badge_key, slot) do update set issued = c.issued + excluded.issued, earned = c.earned + excluded.earned;
update request
set decided_at = '2026-02-02', badge_key = (select badge_key from badge where badge_number = 3), owner_type = 'Loyalty',
    reference_id = '123457', event_at = '2026-02-02', valid_until = '2126-02-02', audience = '{11}', refusals = '[]',
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
set decided_at = '2026-02-03', owner_type = null,
    badge_keys = (select array_agg(badge_key) from badge where badge_number = 1), audience = '{21}',
    valid_untils = array['2126-02-02'::timestamptz], refusals = '[]'
where request_id = 'old-import';
