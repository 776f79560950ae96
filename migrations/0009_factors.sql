-- What people prove themselves with. Secrets are kept as SHA-256, or sealed.

-- What secrets are sealed with. With `secret_key_file` the key is in that file only, and `key` is empty: then a copy of the
-- database opens nothing. `proof` is sealed with it, so that a replica with another key is found at its start.
create table portal.seal (
    one integer primary key default 1 check (one = 1),
    key bytea check (octet_length(key) = 32),
    proof bytea not null,
    made_at timestamptz not null
);

create table portal.passkey (
    id uuid primary key,
    account_id uuid not null references portal.account,
    credential_id bytea not null unique check (octet_length(credential_id) between 1 and 1023),
    name text not null check (name <> '' and char_length(name) <= 80),
    -- The credential as the WebAuthn library keeps it: public key, counter, flags.
    credential jsonb not null,
    created_at timestamptz not null,
    last_used_at timestamptz,
    -- Its counter went back, so there may be a copy of it: it is never taken again (S-17).
    suspect_at timestamptz
);
create index passkey_account on portal.passkey (account_id);

create table portal.totp (
    account_id uuid primary key references portal.account,
    -- The shared secret, sealed.
    sealed bytea not null,
    created_at timestamptz not null,
    -- The last time step that was used: no code counts twice.
    last_step bigint not null,
    last_used_at timestamptz,
    -- Wrong codes in a row, and when the next one is heard.
    failures integer not null default 0 check (failures >= 0),
    next_try_at timestamptz
);

create table portal.recovery_code (
    code_hash bytea primary key check (octet_length(code_hash) = 32),
    account_id uuid not null references portal.account,
    created_at timestamptz not null,
    used_at timestamptz
);
create index recovery_code_account on portal.recovery_code (account_id);

-- Something begun in one request and ended in another: a challenge, a sign-in that lacks its second factor, a trip to an
-- identity provider. Bound to one browser, used once (S-17, S-19).
create table portal.ceremony (
    id uuid primary key,
    purpose text not null check (purpose <> ''),
    -- SHA-256 of the browser's or session's secret.
    holder_hash bytea not null check (octet_length(holder_hash) = 32),
    account_id uuid references portal.account,
    -- Sealed, because it may hold a secret.
    state bytea not null check (octet_length(state) <= 65536),
    tries integer not null default 0 check (tries >= 0),
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index ceremony_expires on portal.ceremony (expires_at);
create index ceremony_account on portal.ceremony (account_id);
create index ceremony_holder on portal.ceremony (holder_hash, purpose);

-- A link that is used once: an invitation, or a new password (S-06).
create table portal.one_time_link (
    secret_hash bytea primary key check (octet_length(secret_hash) = 32),
    purpose text not null check (purpose in ('invite', 'reset')),
    account_id uuid not null references portal.account,
    created_at timestamptz not null,
    expires_at timestamptz not null,
    -- Who had it made; absent when the person asked for it, or the operator did.
    created_by uuid references portal.account
);
create index one_time_link_account on portal.one_time_link (account_id, purpose);
create index one_time_link_expires on portal.one_time_link (expires_at);

-- Somebody asked for a new password for an e-mail, whether anybody has it or not. They were answered already: what comes of
-- it is found out afterwards, so that the answer tells nobody who has an account (S-10).
create table portal.reset_request (
    id uuid primary key,
    -- The e-mail as typed, sealed: people type passwords into the wrong field.
    sealed bytea not null check (octet_length(sealed) <= 2048),
    address text not null,
    asked_at timestamptz not null
);
create index reset_request_asked on portal.reset_request (asked_at);

-- Browsers in which somebody signed in before: strangers' failures are no obstacle there (S-12).
create table portal.known_device (
    token_hash bytea primary key check (octet_length(token_hash) = 32),
    account_id uuid not null references portal.account,
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    expires_at timestamptz not null,
    failures integer not null default 0 check (failures >= 0),
    next_try_at timestamptz
);
create index known_device_account on portal.known_device (account_id);
create index known_device_expires on portal.known_device (expires_at);

-- Who somebody is elsewhere (S-21): issuer and subject, never the e-mail. Of a deleted account the subject is `sha256:` and
-- its SHA-256: whom a provider still knows does not come back as somebody new.
create table portal.identity (
    issuer text not null check (issuer <> ''),
    subject text not null check (subject <> '' and octet_length(subject) <= 512),
    provider text not null,
    account_id uuid not null references portal.account,
    linked_at timestamptz not null,
    last_used_at timestamptz,
    primary key (issuer, subject)
);
create index identity_account on portal.identity (account_id);

create table portal.api_token (
    id uuid primary key,
    account_id uuid not null references portal.account,
    label text not null check (label <> '' and char_length(label) <= 80),
    scope text not null check (scope in ('read', 'decide')),
    token_hash bytea not null unique check (octet_length(token_hash) = 32),
    created_at timestamptz not null,
    expires_at timestamptz not null,
    last_used_at timestamptz,
    revoked_at timestamptz,
    constraint api_token_year check (expires_at <= created_at + interval '366 days')
);
create index api_token_account on portal.api_token (account_id);

-- A password that is long enough only beside a second factor (S-01).
alter table portal.account
    add column password_short boolean not null default false,
    -- Since then others may know it: it serves for nothing but choosing another (S-02). Says nothing of one chosen later.
    add column password_compromised_at timestamptz;

-- The second factor a session was begun or last stepped up with, if any; and where it last came from.
alter table portal.session
    add column factor text,
    add column last_address text;

-- Mail to be sent: a row in the transaction of what it tells of, delivered afterwards, at least once (H-04, L-11).
create table portal.mail (
    id uuid primary key,
    kind text not null check (kind <> ''),
    account_id uuid references portal.account,
    to_address text not null check (to_address <> '' and octet_length(to_address) <= 320),
    -- Subject and bodies, sealed: they may hold a link that opens an account. Emptied once delivered or given up.
    sealed bytea,
    created_at timestamptz not null,
    due_at timestamptz,
    -- After this nobody needs it any more.
    useless_at timestamptz not null,
    attempts integer not null default 0 check (attempts >= 0),
    lease_holder uuid,
    lease_until timestamptz,
    sent_at timestamptz,
    given_up_at timestamptz,
    last_error text check (char_length(last_error) <= 500),
    constraint mail_due check ((due_at is null) = (sent_at is not null or given_up_at is not null))
);
create index mail_due on portal.mail (due_at) where due_at is not null;
create index mail_created on portal.mail (created_at);

grant select, insert, update, delete on portal.passkey, portal.totp, portal.recovery_code, portal.ceremony,
    portal.one_time_link, portal.reset_request, portal.known_device, portal.identity to countersign_app;
grant select, insert, update on portal.seal, portal.api_token, portal.mail to countersign_app;
grant delete on portal.mail to countersign_app;
