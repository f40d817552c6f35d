-- Most customers have few of a badge, and the primary key leads to those at once: the index by event date, which costs as
-- much per row as the key, is only for the others. Statements read ordinals up to 8 by the key and the rest by the index.

drop index earned_badge_counted;
create index earned_badge_counted on earned_badge (badge_key, customer_id, counted_at)
    where counted_at is not null and ordinal > 8;
