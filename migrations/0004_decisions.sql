-- Decisions on their way to AWS, and the keys that make a form count once.
create table portal.decision (
    id uuid primary key,
    approval_id uuid not null references portal.approval,
    account_id uuid not null references portal.account,
    verdict text not null check (verdict in ('approved', 'rejected')),
    -- The person's own words.
    summary text not null,
    -- The person's name as it stands in the marker behind their words.
    signed_as text not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    channel text not null check (channel in ('page', 'link', 'api')),
    state text not null
        check (state in ('intent', 'submitting', 'unsure', 'accepted', 'refused', 'elsewhere', 'stale', 'lapsed')),
    -- Counts sends; fences late workers off.
    attempt integer not null default 0 check (attempt >= 0),
    lease_holder uuid,
    lease_until timestamptz,
    -- When the next step is due (the next send, or the next read-back).
    due_at timestamptz,
    -- The record that holds the intent: its number and hash stand in the marker.
    intent_seq bigint not null unique,
    intent_hash bytea not null check (octet_length(intent_hash) = 32),
    created_at timestamptz not null,
    sent_at timestamptz,
    -- Why it is unsure: 'answered' (a 5xx came back) or 'unanswered' (nothing did). Decides how long to wait (D-07).
    doubt text check (doubt in ('answered', 'unanswered', 'too_late')),
    unsure_since timestamptz,
    -- The first read-back after the send that still saw the approval open, and how many have.
    open_read_at timestamptz,
    open_reads integer not null default 0,
    steps integer not null default 0,
    needs_person_since timestamptz,
    settled_at timestamptz,
    -- For people: what AWS answered, or why it ended as it did.
    reason text,
    aws_code text,
    approved_at timestamptz,
    constraint decision_settled check
        ((state in ('accepted', 'refused', 'elsewhere', 'stale', 'lapsed')) = (settled_at is not null)),
    constraint decision_unsure check ((state = 'unsure') = (unsure_since is not null)),
    constraint decision_sent check (state not in ('submitting', 'unsure', 'accepted', 'refused') or attempt > 0)
);
-- One live or accepted decision per approval (D-01). The approval is itself unique by gate and token.
create unique index decision_one_live on portal.decision (approval_id)
    where state in ('intent', 'submitting', 'unsure', 'accepted');
create index decision_due on portal.decision (due_at) where state in ('intent', 'submitting', 'unsure');
-- The history filters by outcome, newest first.
create index decision_outcome on portal.decision (state, intent_seq);
create index decision_approval on portal.decision (approval_id);

-- The same key and body gives the same answer and never a second intent (D-03). Kept seven days.
create table portal.decision_key (
    account_id uuid not null references portal.account,
    key_hash bytea not null check (octet_length(key_hash) = 32),
    body_hash bytea not null check (octet_length(body_hash) = 32),
    -- Checked at commit: the key is written before the decision, whose record comes last of all.
    decision_id uuid not null references portal.decision deferrable initially deferred,
    created_at timestamptz not null,
    primary key (account_id, key_hash)
);
create index decision_key_created on portal.decision_key (created_at);

grant select, insert, update on portal.decision to countersign_app;
grant select, insert, delete on portal.decision_key to countersign_app;
