insert into job (job_key, org_id, request_id, badge_id, owner_type, reference_id, event_at, is_dry_run, state, created_at,
                 created_by, touched_at, upload, form, lines, chunks, is_sorted, next_chunk, done, counts, has_files)
select 7649436350480777217, min(org_id), 'old-job', '653de334b3cda7078c7c68eb', 'Loyalty', '123457', '2026-02-01', false,
       'completed', '2026-02-01', 'old', '2026-02-01', 1, '{"format":"text/csv"}', 2, 1, true, 1, 2,
       '{"issued":1,"malformed":1}', true
from org having min(org_id) is not null;
insert into job_chunk (job_key, number, first_line, audience, sent, flaws, repeats, decided_at, refusals)
values (7649436350480777217, 0, 0, '{5,0}', '\x78', '[[1,2,400,"x","no customer"]]', '{}', '2026-02-01', '[]');
insert into pgqueuer (priority, created, updated, heartbeat, execute_after, status, entrypoint, payload)
values (0, '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01', 'queued', 'job', '7649436350480777217');
insert into pgqueuer_log (created, job_id, status, priority, entrypoint) values ('2026-02-01', 1, 'queued', 0, 'job');
insert into pgqueuer_statistics (created, count, priority, status, entrypoint) values ('2026-02-01', 1, 0, 'queued', 'job');
insert into pgqueuer_schedules (expression, entrypoint, heartbeat, created, updated, next_run)
values ('* * * * *', 'none', '2026-02-01', '2026-02-01', '2026-02-01', '2026-02-01');
