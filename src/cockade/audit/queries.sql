-- name: record
-- Runs in the transaction of the change. No statement modifies or deletes an entry.
insert into audit_entry (org_id, at, username, action, badge_id, subject, details)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: list_entries
-- Newest first, before entry $7. Criteria that are null do not filter. $5 is inclusive and $6 exclusive.
select entry_id, org_id, at, username, action, badge_id, subject, details
from audit_entry
where ($1::integer is null or org_id = $1)
  and ($2::text[] is null or action = any($2))
  and ($3::text is null or badge_id = $3)
  and ($4::text is null or username = $4)
  and ($5::timestamptz is null or at >= $5)
  and ($6::timestamptz is null or at < $6)
  and ($7::bigint is null or entry_id < $7)
order by entry_id desc limit $8;
