-- name: list_badges_of
-- Of which of the org's badges customer $2 ever had anything: one descent of each ledger's primary key per badge.
select b.badge_key
from badge b
where b.org_id = $1
  and (exists (select from earned_badge e where e.badge_key = b.badge_key and e.customer_id = $2)
       or exists (select from enrolment n where n.badge_key = b.badge_key and n.customer_id = $2));
