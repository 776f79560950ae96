-- The links in mails that ask for a decision, and the gates at which such a mail is enough to decide. Neither is part of the
-- record: what was decided by a link is, and so is who changed what is said of a gate here.

-- What holds of some gates and not of others. Given and ended, never changed, as grants are.
create table portal.gate_option (
    id uuid primary key,
    -- `decide_by_mail`: whoever has a mail about it decides with the code in it, for so many minutes after it was written.
    kind text not null check (kind in ('decide_by_mail')),
    source text not null check (source <> '' and octet_length(source) <= 200),
    pipeline text not null check (pipeline <> '' and octet_length(pipeline) <= 200),
    stage text not null check (stage <> '' and octet_length(stage) <= 200),
    action text not null check (action <> '' and octet_length(action) <= 200),
    tag_key text check (tag_key <> '' and octet_length(tag_key) <= 512),
    tag_value text check (octet_length(tag_value) <= 1024),
    minutes integer not null check (minutes between 5 and 1440),
    note text not null default '' check (char_length(note) <= 500),
    from_at timestamptz not null,
    until_at timestamptz,
    given_by uuid references portal.account,
    ended_by uuid references portal.account,
    constraint gate_option_tag check ((tag_key is null) = (tag_value is null)),
    constraint gate_option_order check (until_at is null or until_at >= from_at)
);

-- A link to one approval, mailed to one person. Of the link's secret and of the mail's code only hashes are kept, and the
-- code's is keyed with the secret: six digits by themselves would soon be guessed from a dump (L-03). No references: they
-- would lock what decisions wait for.
create table portal.mailed_link (
    id uuid primary key,
    secret_hash bytea not null unique check (octet_length(secret_hash) = 32),
    account_id uuid not null,
    mailed_to text not null check (char_length(mailed_to) <= 320),
    approval_id uuid not null,
    -- What waited when it was mailed: about anything else it decides and opens nothing.
    fingerprint bytea not null check (octet_length(fingerprint) = 32),
    mailed_at timestamptz not null,
    opens_until timestamptz not null,
    -- Both absent where it only opens the approval.
    decides_until timestamptz,
    code_hash bytea check (octet_length(code_hash) = 32),
    wrong_codes smallint not null default 0 check (wrong_codes between 0 and 5),
    -- What was decided with it.
    used_at timestamptz,
    decision_id uuid,
    -- When its person asked for another in its place.
    renewed_at timestamptz,
    constraint mailed_link_decides check ((decides_until is null) = (code_hash is null)),
    constraint mailed_link_order check (decides_until is null or decides_until <= opens_until),
    constraint mailed_link_used check ((used_at is null) = (decision_id is null))
);
create index mailed_link_over on portal.mailed_link (opens_until);

grant select, insert, update on portal.gate_option to countersign_app;
grant select, insert, update, delete on portal.mailed_link to countersign_app;
