-- People, their sessions, and what limits strangers. Runs as countersign_owner; the roles exist already.
create schema portal;
revoke all on schema portal from public;
grant usage on schema portal to countersign_app;

create table portal.account (
    id uuid primary key,
    -- As typed, for display and mail.
    email text not null check (email <> '' and octet_length(email) <= 320),
    -- Normalised, for finding: NFKC, lower case.
    email_key text not null unique check (email_key <> ''),
    name text not null check (name <> '' and char_length(name) <= 120),
    roles text[] not null check (roles <@ array['approver', 'auditor', 'admin']),
    -- PHC string; absent while no password can be used.
    password_phc text,
    password_changed_at timestamptz,
    must_change_password boolean not null default false,
    disabled_at timestamptz,
    last_seen_at timestamptz,
    created_at timestamptz not null,
    -- Counts changes, so that two admins editing one account notice each other.
    version bigint not null default 1
);

create table portal.session (
    id uuid primary key,
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    csrf_secret bytea not null check (octet_length(csrf_secret) = 32),
    account_id uuid not null references portal.account,
    -- How the person signed in: 'password', 'setup'.
    method text not null,
    stepped_up_at timestamptz,
    address text not null,
    user_agent text not null,
    started_at timestamptz not null,
    last_seen_at timestamptz not null,
    -- The absolute end; the idle end follows from last_seen_at.
    expires_at timestamptz not null
);
create index session_account on portal.session (account_id);
create index session_expires on portal.session (expires_at);

-- Consecutive failed passwords for an e-mail, and when the next try is heard (S-11). Strangers' e-mails wait like people's,
-- so that waiting tells nobody who has an account (S-10); only their hashes are kept.
create table portal.sign_in_wait (
    email_hash bytea primary key check (octet_length(email_hash) = 32),
    failures integer not null check (failures > 0),
    tried_at timestamptz not null,
    next_try_at timestamptz not null
);
create index sign_in_wait_tried on portal.sign_in_wait (tried_at);

-- The one-time secret for the first account (S-07). One row at most.
create table portal.setup_secret (
    one integer primary key default 1 check (one = 1),
    secret_hash bytea not null check (octet_length(secret_hash) = 32),
    issued_at timestamptz not null,
    expires_at timestamptz not null
);

-- Token buckets (S-13): the theoretical arrival time of the generic cell rate algorithm.
create table portal.throttle (
    bucket text primary key,
    arrival_at timestamptz not null
);
create index throttle_arrival on portal.throttle (arrival_at);

-- What strangers cause is counted here and recorded in bulk (A-11).
create table portal.stranger_count (
    minute timestamptz not null,
    kind text not null,
    count bigint not null default 0 check (count >= 0),
    recorded boolean not null default false,
    primary key (minute, kind)
);

-- Who does a duty that one replica should do at a time. An optimisation, never the safety (H-02).
create table portal.lease (
    name text primary key,
    holder uuid not null,
    expires_at timestamptz not null
);

grant select, insert, update, delete on all tables in schema portal to countersign_app;
-- Accounts are never deleted: records point at them for ever.
revoke delete on portal.account from countersign_app;
