-- Browsers that are told what waits, and the messages to them. None of it is part of the record: who turned it on where is, and
-- that they turned it off or their push service knows it no more. What else ends it has its own record, if anybody did it.

-- What the portal proves itself with to push services (RFC 8292): one pair for all replicas. The private half is sealed.
create table portal.push_key (
    one boolean primary key default true check (one),
    public_key bytea not null check (octet_length(public_key) = 65),
    sealed bytea not null,
    made_at timestamptz not null
);

-- A browser in which somebody turned it on. Whoever knows its address and keys may write there, so they are sealed, and found by
-- a hash. No reference to the account: that would lock its key against whoever signs in.
create table portal.push_browser (
    id uuid primary key,
    account_id uuid not null,
    -- The session in which it was turned on: what else of their person's is ended, this is ended with.
    session_id uuid not null,
    address_hash bytea not null unique check (octet_length(address_hash) = 32),
    sealed bytea not null,
    -- All that is shown of where it is reached.
    host text not null check (octet_length(host) between 1 and 253),
    -- Which key of ours it was told; with another, its push service takes nothing from us.
    public_key bytea not null check (octet_length(public_key) = 65),
    name text not null check (char_length(name) between 1 and 100),
    since timestamptz not null,
    told_at timestamptz,
    -- How often in a row it could not be told, and until when it is left alone therefore.
    failures integer not null default 0 check (failures >= 0),
    held_until timestamptz
);
create index push_browser_account on portal.push_browser (account_id);

-- The messages. Taken with a lease that is committed before a push service is asked (H-04). What one says is sealed, and erased
-- once it is told or given up.
create table portal.push_message (
    id uuid primary key,
    browser_id uuid not null references portal.push_browser on delete cascade,
    -- A kind of notice, several, or a test.
    tells text not null check (tells ~ '^[a-z_]{1,40}$'),
    -- A newer one of a topic takes the place of an older one.
    topic text not null check (topic ~ '^[A-Za-z0-9_-]{1,32}$'),
    -- The one approval it is about.
    approval_id uuid,
    -- Whether it asks for a decision …
    asks boolean not null,
    -- … and since when that is no longer on the screen, or need not be told to be over.
    over_at timestamptz,
    urgency text not null check (urgency in ('low', 'normal', 'high')),
    sealed bytea,
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
    constraint push_message_state check (num_nonnulls(due_at, told_at, given_up_at) = 1),
    constraint push_message_sealed check ((due_at is null) = (sealed is null)),
    constraint push_message_asks check (approval_id is not null or over_at is not null or not asks)
);
create index push_message_due on portal.push_message (browser_id, due_at) where due_at is not null;
create index push_message_topic on portal.push_message (browser_id, topic, made_at desc);
create index push_message_open on portal.push_message (approval_id) where asks and over_at is null;
create index push_message_made on portal.push_message (made_at);

grant select, insert, update on portal.push_key to countersign_app;
grant select, insert, update, delete on portal.push_browser, portal.push_message to countersign_app;
