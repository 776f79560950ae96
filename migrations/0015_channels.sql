-- Chats and other programs that are told what happens, and the messages to them. None of it is part of the record: who made,
-- changed and ended a channel is. Where one leads is a secret, because whoever knows it may write there: sealed like what its
-- messages are signed with, and erased when it ends.
create table portal.channel (
    id uuid primary key,
    kind text not null check (kind in ('slack', 'teams', 'webhook')),
    name text not null check (char_length(name) between 1 and 100),
    -- All that is ever shown of where it leads.
    host text not null check (octet_length(host) between 1 and 253),
    sealed_address bytea,
    -- What a webhook's messages are signed with.
    sealed_secret bytea,
    tells_waiting boolean not null,
    tells_reminders boolean not null,
    tells_ends boolean not null,
    tells_blind boolean not null,
    from_at timestamptz not null,
    until_at timestamptz,
    given_by uuid references portal.account,
    ended_by uuid references portal.account,
    -- How often in a row it could not be told, and until when it is left alone therefore.
    failures integer not null default 0 check (failures >= 0),
    held_until timestamptz,
    constraint channel_order check (until_at is null or until_at >= from_at),
    constraint channel_sealed check ((until_at is null) = (sealed_address is not null)),
    constraint channel_signs check ((until_at is null and kind = 'webhook') = (sealed_secret is not null))
);
create unique index channel_name on portal.channel (lower(name)) where until_at is null;

-- The gates that a channel is told of. Given and ended, never changed, as grants are.
create table portal.channel_gates (
    id uuid primary key,
    channel_id uuid not null references portal.channel,
    source text not null check (source <> '' and octet_length(source) <= 200),
    pipeline text not null check (pipeline <> '' and octet_length(pipeline) <= 200),
    stage text not null check (stage <> '' and octet_length(stage) <= 200),
    action text not null check (action <> '' and octet_length(action) <= 200),
    tag_key text check (tag_key <> '' and octet_length(tag_key) <= 512),
    tag_value text check (octet_length(tag_value) <= 1024),
    from_at timestamptz not null,
    until_at timestamptz,
    constraint channel_gates_tag check ((tag_key is null) = (tag_value is null)),
    constraint channel_gates_order check (until_at is null or until_at >= from_at)
);
create index channel_gates_live on portal.channel_gates (channel_id) where until_at is null;

-- How far channels are with the notices, beside the people (0017). What was left before there were channels is none of theirs.
alter table portal.notice add column channels_at timestamptz default now();
alter table portal.notice alter column channels_at drop default;
create index notice_for_channels on portal.notice (due_at) where channels_at is null;

-- What a channel is to be told. Gone once it is in a message, or need not be told any more; but that a source cannot be read stays,
-- due no more: who was told so is told that it can be read again, and nobody else.
create table portal.channel_news (
    channel_id uuid not null references portal.channel,
    notice_id bigint not null references portal.notice on delete cascade,
    came_at timestamptz not null,
    due_at timestamptz,
    primary key (channel_id, notice_id)
);
create index channel_news_notice on portal.channel_news (notice_id);

-- The messages. Taken with a lease that is committed before the channel is told (H-04). What one says holds no secret, and
-- stays for a while, to be sent again.
create table portal.channel_delivery (
    id uuid primary key,
    channel_id uuid not null references portal.channel,
    -- A kind of notice, several, or a test.
    tells text not null check (tells ~ '^[a-z_]{1,40}$'),
    body text not null check (octet_length(body) <= 200000),
    -- The approvals that it tells of …
    about uuid[] not null default '{}',
    -- … and whether it is a chat's that does nothing but ask for decisions about them: once it failed, it goes while one is open.
    asks boolean not null default false,
    made_at timestamptz not null,
    useless_at timestamptz not null,
    -- Absent once it was told, or given up.
    due_at timestamptz,
    attempts integer not null default 0 check (attempts >= 0),
    lease_holder uuid,
    lease_until timestamptz,
    told_at timestamptz,
    given_up_at timestamptz,
    -- What it was answered last, and what went wrong.
    status smallint check (status between 100 and 999),
    last_error text check (char_length(last_error) <= 500),
    constraint channel_delivery_state check (num_nonnulls(due_at, told_at, given_up_at) = 1)
);
create index channel_delivery_due on portal.channel_delivery (channel_id, due_at) where due_at is not null;
create index channel_delivery_given_up on portal.channel_delivery (channel_id) where given_up_at is not null;
create index channel_delivery_made on portal.channel_delivery (channel_id, made_at desc);

grant select, insert, update on portal.channel, portal.channel_gates to countersign_app;
grant select, insert, update, delete on portal.channel_news, portal.channel_delivery to countersign_app;
