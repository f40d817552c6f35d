-- name: list_badges_of
-- The org's badges of which customer $2 ever had anything. Uses one primary key lookup per badge and ledger.
select b.badge_key
from badge b
where b.org_id = $1
  and (exists (select from earned_badge e where e.badge_key = b.badge_key and e.customer_id = $2)
       or exists (select from enrolment n where n.badge_key = b.badge_key and n.customer_id = $2));
