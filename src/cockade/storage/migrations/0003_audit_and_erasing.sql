-- Who changed what, and finding what names a customer.
--
-- Code of the version before goes on working here; what it changes is not in the audit trail.

-- One row per change, written with it; no statement of ours changes or deletes one.
create table audit_entry (
    entry_id  bigint generated always as identity primary key,
    org_id    integer references org,   -- null: the service as a whole
    at        timestamptz not null,
    username  text        not null collate "C",
    action    text        not null,     -- cockade.audit.model.Action
    badge_id  text        collate "C",
    subject   text        not null collate "C",
    details   json        not null
);
create index audit_entry_by_org on audit_entry (org_id, entry_id);

-- From a customer to her identifiers.
create index customer_identifier_by_customer on customer_identifier (org_id, customer_id);
