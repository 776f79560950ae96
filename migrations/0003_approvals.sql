-- What the watcher knows: sources, pipelines, gates, approvals. All of it can be read again from AWS; the record cannot.
create table portal.source (
    name text primary key check (name <> ''),
    account text,
    region text,
    -- False once the operator has taken it out of the configuration; its approvals stay, marked.
    configured boolean not null default true,
    -- The last sweep that read everything that could be read.
    swept_at timestamptz,
    -- Since when, and why, the source as a whole cannot be read. Both or none.
    blind_since timestamptz,
    blind_why text,
    constraint source_blind check ((blind_since is null) = (blind_why is null))
);

create table portal.pipeline (
    source text not null references portal.source,
    name text not null check (name <> ''),
    version integer not null,
    updated_at timestamptz,
    execution_mode text not null,
    pipeline_type text,
    -- Stages and actions by name, category, provider and run order; never configuration, which may hold secrets.
    stages jsonb not null,
    gate_count integer not null check (gate_count >= 0),
    defined_at timestamptz not null,
    -- The last successful read of its state.
    read_at timestamptz,
    unreadable_since timestamptz,
    unreadable_why text,
    -- It is no longer listed by AWS.
    gone_at timestamptz,
    primary key (source, name),
    constraint pipeline_unreadable check ((unreadable_since is null) = (unreadable_why is null))
);

-- The queue page asks for these with every request.
create index pipeline_unreadable_now on portal.pipeline (source, name) where unreadable_since is not null;

create table portal.gate (
    source text not null,
    pipeline text not null,
    stage text not null,
    action text not null,
    timeout_minutes integer,
    -- As configured, variables unresolved.
    comment text,
    review_url text,
    removed_at timestamptz,
    primary key (source, pipeline, stage, action),
    foreign key (source, pipeline) references portal.pipeline
);

create table portal.approval (
    id uuid primary key,
    source text not null,
    pipeline text not null,
    stage text not null,
    action text not null,
    execution_id text not null,
    action_execution_id text,
    -- Needed to answer; never shown, logged or recorded.
    token text not null,
    token_hash bytea not null check (octet_length(token_hash) = 32),
    execution_mode text not null,
    pipeline_version integer,
    -- When it began to wait, and whether AWS said so itself.
    opened_at timestamptz not null,
    opened_about boolean not null default false,
    expires_at timestamptz not null,
    expires_about boolean not null default true,
    found_at timestamptz not null,
    -- The last read that saw it open.
    seen_open_at timestamptz not null,
    -- What AWS was last seen to say (domain::approval::AtAws).
    at_aws text not null default 'open'
        check (at_aws in ('open', 'approved', 'rejected', 'expired', 'superseded', 'stopped', 'gone')),
    closed_at timestamptz,
    -- Why it is gone, in a few words: edited, deleted, retried.
    closed_why text,
    decided text check (decided in ('here', 'elsewhere')),
    decided_by text,
    decided_summary text,
    -- domain::shown::Shown as JSON, byte for byte as fingerprinted.
    shown text not null,
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    -- Everything else a page tells: trigger, run start, variables, rollback, newer runs behind, stage states. Bounded.
    details jsonb not null,
    foreign key (source, pipeline, stage, action) references portal.gate,
    constraint approval_once unique (source, pipeline, stage, action, token_hash),
    constraint approval_closed check ((at_aws = 'open') = (closed_at is null)),
    constraint approval_decided check ((decided is not null) = (at_aws in ('approved', 'rejected')))
);
create index approval_open on portal.approval (expires_at) where at_aws = 'open';
create index approval_pipeline_open on portal.approval (source, pipeline) where at_aws = 'open';
-- The history finds decisions made outside by who made them.
create index approval_decided_by on portal.approval (decided_by) where decided = 'elsewhere';
create index approval_gate on portal.approval (source, pipeline, stage, action, opened_at desc);

-- Every version of what was shown, so that a decision on an older one can be told what has changed since.
create table portal.shown (
    fingerprint bytea primary key check (octet_length(fingerprint) = 32),
    approval_id uuid not null references portal.approval,
    shown text not null,
    seen_at timestamptz not null
);
create index shown_approval on portal.shown (approval_id);
grant select, insert on portal.shown to countersign_app;

grant select, insert, update on portal.source, portal.pipeline, portal.gate, portal.approval to countersign_app;
