insert into undoing (request_key, org_id, request_id, state, asked_at, asked_by, touched_at, lots, next_lot, revoked,
                     already_revoked)
select 7649436350480777217, min(org_id), 'old-job', 'queued', '2026-02-02', 'old', '2026-02-02', 1, 0, 0, 0
from org having min(org_id) is not null;
