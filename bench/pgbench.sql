\set customer random(10000000, 9000000000000000)
insert into baseline (customer_id, request_key, valid_from, valid_until, badge_key, ordinal, line)
values (:customer, 1, '2026-01-01', '2126-01-01', 1, 1, 0);
