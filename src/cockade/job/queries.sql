-- name: new_key
-- Key of a dry run, which has no request.
select (($1::bigint % 4294967296) << 32) | nextval('request_number');

-- name: insert_job
insert into job (job_key, org_id, request_id, badge_id, owner_type, reference_id, event_at, is_dry_run, state, created_at,
                 created_by, updated_at, upload_attempt, layout, lines, chunks, is_deduplicated, next_chunk, processed, counts, files_retained)
values ($1, $2, $3, $4, $5, $6, $7, $8, 'staging', $9, $10, $9, 1, $11, 0, 0, false, 0, 0, '{}', true);

-- name: find_staging
-- The job that is being uploaded with this request id.
select job_key from job where org_id = $1 and request_id = $2 and not is_dry_run and state = 'staging' for update;

-- name: restart_upload
-- The previous upload notices the new upload_attempt, and stops.
update job
set upload_attempt = upload_attempt + 1, updated_at = $2, event_at = $3, badge_id = $4, owner_type = $5, reference_id = $6, layout = $7,
    lines = 0, chunks = 0, counts = '{}'
where job_key = $1
returning upload_attempt;

-- name: delete_chunks
delete from job_chunk where job_key = $1;

-- name: stage
-- Adds to the counts of staged lines and chunks. No row: this upload was superseded, or the job is no longer staging.
update job
set lines = lines + $3, chunks = chunks + $4, counts = $5, updated_at = $6, layout = $7
where job_key = $1 and upload_attempt = $2 and state = 'staging'
returning lines, chunks;

-- name: insert_chunk
insert into job_chunk (job_key, number, first_line, customer_ids, raw_lines, line_errors, duplicates)
values ($1, $2, $3, $4, $5, $6, '{}');

-- name: resolve
-- Returns the customer of each identifier in $3 of kind $2, or null, in the order of the list.
select i.customer_id
from unnest($3::text[]) with ordinality as input (identifier, index)
left join customer_identifier i on i.org_id = $1 and i.kind = $2 and i.identifier = input.identifier
order by input.index;

-- name: queue
update job set state = 'queued', updated_at = $3
where job_key = $1 and upload_attempt = $2 and state = 'staging'
returning job_key;

-- name: delete_staging
-- A job with an incomplete upload.
delete from job where job_key = $1 and upload_attempt = $2 and state = 'staging'
returning org_id, request_id, is_dry_run;

-- name: list_abandoned_uploads
-- Jobs whose uploads have had no data since $1.
select job_key, upload_attempt from job where state = 'staging' and updated_at < $1;

-- name: list_stalled
-- Unfinished jobs without progress since $1 that are not in the queue.
select j.job_key from job j
where j.state in ('queued', 'running') and j.updated_at < $1
  and not exists (select from pgqueuer q
                  where q.entrypoint = 'job' and q.payload = convert_to(j.job_key::text, 'UTF8'));

-- name: find_job
select j.job_key, j.org_id, o.time_zone, j.request_id, j.badge_id, j.owner_type, j.reference_id, j.event_at, j.is_dry_run,
       j.state, j.created_at, j.created_by, j.started_at, j.finished_at, j.updated_at, j.upload_attempt, j.layout, j.lines, j.chunks,
       j.is_deduplicated, j.next_chunk, j.processed, j.counts, j.rate, j.error, j.files_retained
from job j join org o using (org_id)
where j.job_key = $1;

-- name: lock_job
-- Like find_job, with a lock until the end of the transaction.
select j.job_key, j.org_id, o.time_zone, j.request_id, j.badge_id, j.owner_type, j.reference_id, j.event_at, j.is_dry_run,
       j.state, j.created_at, j.created_by, j.started_at, j.finished_at, j.updated_at, j.upload_attempt, j.layout, j.lines, j.chunks,
       j.is_deduplicated, j.next_chunk, j.processed, j.counts, j.rate, j.error, j.files_retained
from job j join org o using (org_id)
where j.job_key = $1
for update of j;

-- name: list_jobs
-- Newest first. $2: request id, or null for all.
select j.job_key, j.org_id, o.time_zone, j.request_id, j.badge_id, j.owner_type, j.reference_id, j.event_at, j.is_dry_run,
       j.state, j.created_at, j.created_by, j.started_at, j.finished_at, j.updated_at, j.upload_attempt, j.layout, j.lines, j.chunks,
       j.is_deduplicated, j.next_chunk, j.processed, j.counts, j.rate, j.error, j.files_retained
from job j join org o using (org_id)
where j.org_id = $1 and ($2::text is null or j.request_id = $2)
order by j.created_at desc, j.job_key desc
offset $3 limit $4;

-- name: count_jobs
select count(*) from job where org_id = $1 and ($2::text is null or request_id = $2);

-- name: set_state
update job set state = $2, updated_at = $3, finished_at = $4, rate = null, error = $5 where job_key = $1;

-- name: start
update job set state = 'running', updated_at = $2, started_at = coalesce(started_at, $2) where job_key = $1;

-- name: read_audience
-- Customers of the chunks from $2 to $3 (exclusive).
select number, first_line, array_send(customer_ids) from job_chunk
where job_key = $1 and number >= $2 and number < $3 order by number;

-- name: add_duplicates
update job_chunk set duplicates = duplicates || $3::integer[] where job_key = $1 and number = $2;

-- name: mark_deduplicated
update job set is_deduplicated = true, updated_at = $2 where job_key = $1;

-- name: lock_chunk
-- The lock blocks a concurrent erasure or merge of a customer of the chunk.
select number, first_line, array_send(customer_ids), line_errors, raw_lines, duplicates, decided_at is not null, code, failures
from job_chunk where job_key = $1 and number = $2 for update;

-- name: list_chunks
select number, first_line, array_send(customer_ids), line_errors, raw_lines, duplicates, decided_at is not null, code, failures
from job_chunk where job_key = $1 and number >= $2 order by number limit $3;

-- name: decide_chunk
update job_chunk set decided_at = $3, code = $4, failures = $5 where job_key = $1 and number = $2;

-- name: save_progress
update job
set next_chunk = $2, processed = $3, counts = $4, rate = $5, updated_at = $6, state = $7, finished_at = $8
where job_key = $1;

-- name: delete_expired_files
-- Deletes the uploaded lines of jobs that ended before $1. Customer ids and results remain.
with old as (update job set files_retained = false where finished_at < $1 and files_retained returning job_key)
update job_chunk c set raw_lines = null, line_errors = '[]' from old where c.job_key = old.job_key;

-- name: replace_customer
-- Replaces customer $2 with $3 in the chunks of the org's jobs. The original lines may contain an identifier of the
-- customer, so they are deleted. Customer $3 may occur in the audience already, so unfinished jobs are deduplicated
-- again.
with replaced as (update job_chunk c
                 set customer_ids = array_replace(c.customer_ids, $2::bigint, $3::bigint), raw_lines = null
                 from job j
                 where j.job_key = c.job_key and j.org_id = $1 and $2::bigint = any(c.customer_ids)
                 returning c.job_key),
     reset as (update job set is_deduplicated = false
               where job_key in (select job_key from replaced) and finished_at is null)
select count(distinct job_key) from replaced;
