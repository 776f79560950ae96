-- Who may decide what, and since when: groups, grants, gates that ask for proof, stand-ins. And what people prove
-- themselves with: second factors, invitations, identities of other providers, tokens. Nothing here is part of the record.

alter table portal.account
    add column time_zone text not null default 'UTC' check (time_zone <> '' and octet_length(time_zone) <= 64),
    -- Pseudonymised for good: disabled, without e-mail, name, password or factor.
    add column deleted_at timestamptz,
    -- May sign in with a password also where local sign-in is off.
    add column break_glass boolean not null default false,
    add constraint account_deleted check (deleted_at is null or disabled_at is not null);

-- Roles and being enabled, over time: who could decide then. One row is open for each account.
create table portal.account_span (
    account_id uuid not null references portal.account,
    roles text[] not null,
    enabled boolean not null,
    from_at timestamptz not null,
    until_at timestamptz,
    constraint account_span_order check (until_at is null or until_at >= from_at)
);
create unique index account_span_now on portal.account_span (account_id) where until_at is null;
create index account_span_when on portal.account_span (account_id, from_at);
-- What they were before this release is in the record; nothing is made up here.
insert into portal.account_span (account_id, roles, enabled, from_at)
    select id, roles, disabled_at is null, clock_timestamp() from portal.account;

-- Groups of people. Called so in the portal; `group` is a word of SQL's.
create table portal.people_group (
    id uuid primary key,
    name text not null check (name <> '' and char_length(name) <= 80),
    -- Normalised, for finding: NFKC, lower case.
    name_key text not null check (name_key <> ''),
    note text not null default '' check (char_length(note) <= 500),
    created_at timestamptz not null,
    removed_at timestamptz,
    version bigint not null default 1
);
create unique index people_group_name on portal.people_group (name_key) where removed_at is null;

create table portal.group_member (
    id uuid primary key,
    group_id uuid not null references portal.people_group,
    account_id uuid not null references portal.account,
    -- 'admin', or `sso:<provider>` whose claim says so: that one ends when the claim no longer says it.
    given_by text not null check (given_by <> ''),
    from_at timestamptz not null,
    until_at timestamptz,
    constraint group_member_order check (until_at is null or until_at >= from_at)
);
create unique index group_member_now on portal.group_member (group_id, account_id, given_by) where until_at is null;
create index group_member_account on portal.group_member (account_id, from_at);

-- This group or person may decide (or stand in for those who decide) the gates that fit. Never changed, only ended, so that
-- any past moment can be asked about.
create table portal.access_grant (
    id uuid primary key,
    capability text not null check (capability in ('decide', 'stand_in')),
    group_id uuid references portal.people_group,
    account_id uuid references portal.account,
    -- Patterns with * and ?.
    source text not null check (source <> '' and octet_length(source) <= 200),
    pipeline text not null check (pipeline <> '' and octet_length(pipeline) <= 200),
    stage text not null check (stage <> '' and octet_length(stage) <= 200),
    action text not null check (action <> '' and octet_length(action) <= 200),
    -- A tag that the pipeline must carry: the key exactly, the value as a pattern.
    tag_key text check (tag_key <> '' and octet_length(tag_key) <= 512),
    tag_value text check (octet_length(tag_value) <= 1024),
    note text not null default '' check (char_length(note) <= 500),
    from_at timestamptz not null,
    until_at timestamptz,
    -- Who gave it; absent for the operator and for the portal itself.
    given_by uuid references portal.account,
    ended_by uuid references portal.account,
    constraint grant_to_one check (num_nonnulls(group_id, account_id) = 1),
    constraint grant_tag check ((tag_key is null) = (tag_value is null)),
    constraint grant_order check (until_at is null or until_at >= from_at)
);
create index access_grant_account on portal.access_grant (account_id) where account_id is not null;
create index access_grant_group on portal.access_grant (group_id) where group_id is not null;
-- Whoever could decide before this release goes on: what they may is now written down, to be narrowed.
insert into portal.access_grant (id, capability, account_id, source, pipeline, stage, action, note, from_at)
    select gen_random_uuid(), 'decide', id, '*', '*', '*', '*', 'Kept when grants were introduced.', clock_timestamp()
    from portal.account where 'approver' = any (roles);

-- Gates whose decision asks for fresh proof of who decides (S-18).
create table portal.step_up_gate (
    id uuid primary key,
    source text not null check (source <> '' and octet_length(source) <= 200),
    pipeline text not null check (pipeline <> '' and octet_length(pipeline) <= 200),
    stage text not null check (stage <> '' and octet_length(stage) <= 200),
    action text not null check (action <> '' and octet_length(action) <= 200),
    tag_key text check (tag_key <> '' and octet_length(tag_key) <= 512),
    tag_value text check (octet_length(tag_value) <= 1024),
    note text not null default '' check (char_length(note) <= 500),
    from_at timestamptz not null,
    until_at timestamptz,
    given_by uuid references portal.account,
    ended_by uuid references portal.account,
    constraint step_up_tag check ((tag_key is null) = (tag_value is null)),
    constraint step_up_order check (until_at is null or until_at >= from_at)
);

-- What a pipeline is tagged with, over time. One row is open for each pipeline that was read.
create table portal.pipeline_tags (
    source text not null,
    pipeline text not null,
    tags jsonb not null check (jsonb_typeof(tags) = 'object'),
    from_at timestamptz not null,
    until_at timestamptz,
    -- The last read that found them so.
    read_at timestamptz not null,
    foreign key (source, pipeline) references portal.pipeline
);
create unique index pipeline_tags_now on portal.pipeline_tags (source, pipeline) where until_at is null;
create index pipeline_tags_when on portal.pipeline_tags (source, pipeline, from_at);

-- One person decides in place of another, for a while.
create table portal.stand_in (
    id uuid primary key,
    for_account uuid not null references portal.account,
    by_account uuid not null references portal.account,
    from_at timestamptz not null,
    until_at timestamptz not null,
    note text not null default '' check (char_length(note) <= 500),
    made_at timestamptz not null,
    ended_at timestamptz,
    ended_by uuid references portal.account,
    constraint stand_in_two check (for_account <> by_account),
    constraint stand_in_order check (from_at < until_at)
);
create index stand_in_by on portal.stand_in (by_account, until_at);
create index stand_in_for on portal.stand_in (for_account, until_at);

-- For whom, when somebody stands in. A decision's record says it too.
alter table portal.decision add column for_account uuid references portal.account;
-- When somebody last used what they may.
create index decision_account on portal.decision (account_id, created_at);
create index decision_for_account on portal.decision (for_account, created_at) where for_account is not null;

-- What every admin must get to see, each until they have put it away: an admin gave themselves something.
create table portal.admin_notice (
    id uuid primary key,
    account_id uuid not null references portal.account,
    -- What was done, in a sentence.
    text text not null check (text <> '' and char_length(text) <= 1000),
    at timestamptz not null
);
create index admin_notice_at on portal.admin_notice (at);
create table portal.admin_notice_seen (
    notice_id uuid not null references portal.admin_notice,
    account_id uuid not null references portal.account,
    seen_at timestamptz not null,
    primary key (notice_id, account_id)
);

-- Pages show who may decide: they look again when that changes. Rare, and never written by a sweep (H-06).
create trigger grant_changes after insert or update on portal.access_grant
    for each row execute function portal.tell_change();
create trigger member_changes after insert or update on portal.group_member
    for each row execute function portal.tell_change();
create trigger stand_in_changes after insert or update on portal.stand_in
    for each row execute function portal.tell_change();

grant select, insert, update on portal.account_span, portal.people_group, portal.group_member, portal.access_grant,
    portal.step_up_gate, portal.pipeline_tags, portal.stand_in to countersign_app;
grant select, insert on portal.admin_notice, portal.admin_notice_seen to countersign_app;
