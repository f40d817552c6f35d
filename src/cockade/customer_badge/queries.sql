-- name: list_states
-- The org's badges with the state of customer $2 at time $3. Uses one primary key lookup per badge and ledger. Criteria
-- that are null do not filter. Ranges are half open.
select b.badge_key, b.earn_type, b.starts_at, b.expires_at, b.earned_expiry, b.overlap_policy,
       b.customer_constraints, b.badge_constraints,
       h.total, h.live, h.next_from, h.last_recorded_s, h.last_event_at,
       i.is_active, i.is_ahead, i.has_ended, i.was_revoked,
       count(*) over () as matches
from badge b
cross join lateral (
    select count(*) filter (where e.revoked_at is null) as total,
           count(*) filter (where e.revoked_at is null and e.valid_from <= $3 and e.valid_until > $3) as live,
           min(e.valid_from) filter (where e.revoked_at is null and e.valid_from > $3) as next_from,
           max((e.request_key >> 32) & 4294967295) filter (where e.revoked_at is null) as last_recorded_s,
           max(e.valid_from) filter (where e.revoked_at is null) as last_event_at,
           max(e.valid_until) filter (where e.revoked_at is null and e.valid_until <= $3) as last_ended_at
    from earned_badge e where e.badge_key = b.badge_key and e.customer_id = $2) h
cross join lateral (
    select coalesce(bool_or(n.revoked_at is null and n.valid_from <= $3 and n.valid_until > $3), false) as is_active,
           coalesce(bool_or(n.revoked_at is null and n.valid_from > $3), false) as is_ahead,
           coalesce(bool_or(n.revoked_at is null and n.valid_until <= $3), false) as has_ended,
           coalesce(bool_or(n.revoked_at is not null), false) as was_revoked,
           max((n.request_key >> 32) & 4294967295) as last_issued_s
    from enrolment n where n.badge_key = b.badge_key and n.customer_id = $2) i
cross join lateral (
    select case $14::text
           when 'RANK' then -b.badge_rank
           when 'LAST_EARNED_ON_DATE' then h.last_recorded_s
           when 'LAST_EARNED_EVENT_DATE' then extract(epoch from h.last_event_at)
           when 'LAST_ISSUED_DATE' then i.last_issued_s
           when 'LAST_EXPIRED_BADGE' then extract(epoch from h.last_ended_at)
           when 'EXPIRES_ON' then extract(epoch from b.expires_at)
           when 'LAST_MODIFIED_DATE' then extract(epoch from b.updated_at)
           else extract(epoch from b.created_at) end as value) sorted
where b.org_id = $1
  and ($4::text is null or b.earn_type = $4)
  and ($5::boolean is null or b.is_active = $5)
  and ($6::text[] is null or case when $3 < b.starts_at then 'UPCOMING'
                                  when $3 < b.expires_at then 'LIVE' else 'EXPIRED' end = any($6))
  and ($7::text is null or $7 = any(b.owners))
  and ($8::text is null or exists (select from badge_claim c
                                   where c.badge_key = b.badge_key and c.owner_type = $8 and c.is_active))
  and ($9::text is null or strpos(lower(b.name), lower($9 collate "C")) > 0)
  and ($10::text is null or b.badge_group_id = $10)
  and ($11::tstzrange is null or b.starts_at <@ $11)
  and ($12::tstzrange is null or b.expires_at <@ $12)
  and case $13::text when 'LIVE' then h.live > 0
                     when 'ENDED' then h.total > 0 and h.live = 0 and h.next_from is null
                     when 'LIVE_OR_ENDED' then h.live > 0 or (h.total > 0 and h.next_from is null)
                     when 'NOT_ENROLLED' then not i.is_active
                     else true end
order by sorted.value * $15::integer desc nulls last, b.badge_id
limit $16 offset $17;

-- name: list_counted
-- Event dates of customer $1 that count towards windows, per badge, within a half-open range, ascending.
select w.badge_key, array_agg(e.counted_at order by e.counted_at)
from unnest($2::integer[], $3::timestamptz[], $4::timestamptz[]) as w (badge_key, opens, closes)
cross join lateral (
    select counted_at from earned_badge
    where badge_key = w.badge_key and customer_id = $1 and ordinal <= 8
      and counted_at >= w.opens and counted_at < w.closes
    union all
    select counted_at from earned_badge
    where badge_key = w.badge_key and customer_id = $1 and ordinal > 8
      and counted_at >= w.opens and counted_at < w.closes) e
group by w.badge_key;

-- name: list_earned
-- Earned badges of customer $2 of badge $1, including revoked ones, newest first.
select e.customer_id, e.ordinal, e.request_key, e.line, e.valid_from, e.valid_until, e.revoked_at,
       r.request_id, r.owner_type, r.reference_id
from earned_badge e left join request r on r.request_key = e.request_key and r.org_id = $4
where e.badge_key = $1 and e.customer_id = $2
order by e.ordinal desc limit $3;

-- name: list_enrolments
-- Enrolments of customer $2 in badge $1, including revoked ones, newest first.
select e.customer_id, e.ordinal, e.request_key, e.line, e.valid_from, e.valid_until, e.revoked_at,
       r.request_id, r.owner_type, r.reference_id
from enrolment e left join request r on r.request_key = e.request_key and r.org_id = $4
where e.badge_key = $1 and e.customer_id = $2
order by e.ordinal desc limit $3;

-- name: list_holders
-- Earned badges of badge $1 in primary key order, after customer $2 and ordinal $3. $4: statuses, as of $5.
select e.customer_id, e.ordinal, e.request_key, e.line, e.valid_from, e.valid_until, e.revoked_at,
       r.request_id, r.owner_type, r.reference_id
from earned_badge e left join request r on r.request_key = e.request_key and r.org_id = $7
where e.badge_key = $1 and (e.customer_id, e.ordinal) > ($2, $3)
  and ($4::text[] is null or case when e.revoked_at is not null then 'REVOKED' when $5 < e.valid_from then 'UPCOMING'
                                  when $5 < e.valid_until then 'LIVE' else 'EXPIRED' end = any($4))
order by e.customer_id, e.ordinal limit $6;

-- name: count_states
-- Unrevoked earned badges of badge $1 and customer $2, those that are valid at $3, and unrevoked enrolments.
select (select count(*) from earned_badge e where e.badge_key = $1 and e.customer_id = $2 and e.revoked_at is null),
       (select count(*) from earned_badge e
        where e.badge_key = $1 and e.customer_id = $2 and e.revoked_at is null
          and e.valid_from <= $3 and e.valid_until > $3),
       (select count(*) from enrolment n where n.badge_key = $1 and n.customer_id = $2 and n.revoked_at is null);
