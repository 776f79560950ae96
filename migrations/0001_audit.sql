-- The audit table: appended, never changed. Runs as countersign_owner; the three roles exist already.
--
-- What is hashed, and nothing else, is the entry: the lines `countersign-record/v1`, seq, time, previous hash (hex), kind,
-- actor and SHA-256(payload) (hex), each ended by LF. hash = SHA-256(0x00 || entry), the RFC 6962 leaf hash. The first
-- entry's previous hash is 32 zero bytes. These bytes are final: `countersign audit verify` and every export rely on them.
--
-- A clock that moved back leaves a flag that cannot be removed without breaking the chain: the entry's time is then
-- exactly one microsecond after the one before it. Two calls cannot be that close by themselves, so no column is needed.

create schema audit;
revoke all on schema audit from public;
alter default privileges revoke execute on functions from public;

-- The number, time and hash of the newest record. Locked by every append, so that numbers have no gaps, their order is
-- the order of commits, and nobody sees n + 1 before n.
create table audit.head (
    one smallint primary key check (one = 1),
    seq bigint not null check (seq >= 0),
    at timestamptz not null,
    hash bytea not null check (octet_length(hash) = 32)
) with (fillfactor = 10);

create table audit.record (
    seq bigint primary key check (seq > 0),
    at timestamptz not null,
    prev bytea not null check (octet_length(prev) = 32),
    kind text not null,
    actor text not null,
    payload_hash bytea not null check (octet_length(payload_hash) = 32),
    hash bytea not null check (octet_length(hash) = 32)
);

-- Beside the record, so that the law can have a payload erased while the chain still verifies. Everything after `payload`
-- is a copy for searching, taken from the payload by audit.append and compared with it by the verifier.
create table audit.payload (
    seq bigint primary key,
    payload bytea not null,
    kind text not null,
    source text,
    pipeline text,
    stage text,
    action text,
    execution text,
    approval uuid,
    decision uuid,
    person uuid,
    verdict text,
    outcome text
);

-- The history lists two kinds. Its unfiltered pages read audit.record, where an erased payload still shows as a row.
create index record_at on audit.record (at);
create index record_history on audit.record (seq) where kind in ('decision.intended', 'approval.decided_elsewhere');
create index record_outside on audit.record (seq) where kind = 'approval.decided_elsewhere';
create index payload_history_pipeline on audit.payload (pipeline, seq)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
create index payload_history_person on audit.payload (person, seq)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
create index payload_history_verdict on audit.payload (verdict, seq)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
create index payload_history_execution on audit.payload (execution, seq)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
create index payload_approval on audit.payload (approval, seq) where approval is not null;
create index payload_decision on audit.payload (decision, seq) where decision is not null;

insert into audit.head (one, seq, at, hash) values (1, 0, 'epoch', decode(repeat('00', 32), 'hex'));

-- The only way in. Runs as the owner; the caller needs nothing else on these tables.
create function audit.append(kind text, actor text, payload bytea)
returns table (o_seq bigint, o_at timestamptz, o_hash bytea)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $append$
declare
    fields jsonb;
    name text;
    h audit.head;
    n bigint;
    t timestamptz;
    digest bytea;
    entry text;
    leaf bytea;
begin
    if append.kind is null or append.kind !~ '^[a-z0-9._-]{1,64}$' then
        raise exception 'bad record: kind' using errcode = '22023';
    end if;
    if append.actor is null or append.actor !~ '^[ -~]{1,128}$' then
        raise exception 'bad record: actor' using errcode = '22023';
    end if;
    if append.payload is null or octet_length(append.payload) > 16384
        or position('\x0a'::bytea in append.payload) > 0 then
        raise exception 'bad record: payload is not one line of at most 16384 bytes' using errcode = '22023';
    end if;
    begin
        fields := convert_from(append.payload, 'UTF8')::jsonb;
    exception when data_exception then
        raise exception 'bad record: payload is not JSON in UTF-8' using errcode = '22023';
    end;
    if jsonb_typeof(fields) <> 'object'
        or (select count(*) <> count(distinct key) from json_object_keys(convert_from(append.payload, 'UTF8')::json) key) then
        raise exception 'bad record: payload is not an object with distinct members' using errcode = '22023';
    end if;
    if coalesce(fields ->> 'salt', '') !~ '^[0-9a-f]{32}$' then
        raise exception 'bad record: payload has no salt' using errcode = '22023';
    end if;
    foreach name in array array['source', 'pipeline', 'stage', 'action', 'execution', 'verdict', 'outcome'] loop
        if jsonb_typeof(fields -> name) not in ('string', 'null') or octet_length(fields ->> name) > 512 then
            raise exception 'bad record: % is not a short string', name using errcode = '22023';
        end if;
    end loop;
    foreach name in array array['approval', 'decision', 'person'] loop
        if jsonb_typeof(fields -> name) not in ('string', 'null')
            or (fields ->> name) !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
            raise exception 'bad record: % is not a UUID', name using errcode = '22023';
        end if;
    end loop;

    select * into strict h from audit.head where one = 1 for update;
    n := h.seq + 1;
    -- Not now(): under concurrency that is the time the transaction began, and runs backwards from row to row.
    t := greatest(clock_timestamp(), h.at + interval '1 microsecond');
    digest := sha256(append.payload);
    entry := format(E'countersign-record/v1\n%s\n%s\n%s\n%s\n%s\n%s\n', n,
        to_char(t at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        encode(h.hash, 'hex'), append.kind, append.actor, encode(digest, 'hex'));
    leaf := sha256('\x00'::bytea || convert_to(entry, 'UTF8'));
    insert into audit.record (seq, at, prev, kind, actor, payload_hash, hash)
        values (n, t, h.hash, append.kind, append.actor, digest, leaf);
    insert into audit.payload (seq, payload, kind, source, pipeline, stage, action, execution,
            approval, decision, person, verdict, outcome)
        values (n, append.payload, append.kind, fields ->> 'source', fields ->> 'pipeline', fields ->> 'stage',
            fields ->> 'action', fields ->> 'execution', (fields ->> 'approval')::uuid, (fields ->> 'decision')::uuid,
            (fields ->> 'person')::uuid, fields ->> 'verdict', fields ->> 'outcome');
    update audit.head set seq = n, at = t, hash = leaf where one = 1;
    return query select n, t, leaf;
end
$append$;

-- Erases one payload because the law asks for it, and says so in the same call. For the owner alone.
create function audit.redact(target bigint, why text)
returns table (o_seq bigint, o_at timestamptz, o_hash bytea)
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $redact$
declare
    erased audit.record;
    salt text;
begin
    if coalesce(btrim(redact.why), '') = '' or octet_length(redact.why) > 4096 then
        raise exception 'say why record % is erased, in at most 4096 bytes', redact.target using errcode = '22023';
    end if;
    select r.* into erased from audit.record r join audit.payload p using (seq) where r.seq = redact.target;
    if not found then
        raise exception 'record % does not exist or is erased already', redact.target using errcode = '22023';
    end if;
    if erased.kind = 'record.redacted' then
        raise exception 'record % tells of an erasure and stays', redact.target using errcode = '22023';
    end if;
    salt := left(encode(sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'hex'), 32);
    select a.o_seq, a.o_at, a.o_hash into o_seq, o_at, o_hash
        from audit.append('record.redacted', 'owner', convert_to(format(
            '{"salt":%s,"redacts":%s,"payload_hash":%s,"by":%s,"why":%s}', to_json(salt), redact.target,
            to_json(encode(erased.payload_hash, 'hex')), to_json(session_user::text), to_json(redact.why)), 'UTF8')) a;
    delete from audit.payload where seq = redact.target;
    return next;
end
$redact$;

create function audit.refuse_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $refuse_change$
begin
    raise exception 'records are appended, never changed: % on audit.% refused', lower(tg_op), tg_table_name
        using errcode = '42501';
end
$refuse_change$;

-- The head moves along the chain and in no other way.
create function audit.guard_head() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $guard_head$
begin
    if tg_op = 'UPDATE' and new.one = old.one and new.seq = old.seq + 1 and new.at > old.at
        and exists (select from audit.record r
            where r.seq = new.seq and r.at = new.at and r.hash = new.hash and r.prev = old.hash) then
        return new;
    end if;
    raise exception 'the head of the records moves only by appending: % refused', lower(tg_op) using errcode = '42501';
end
$guard_head$;

-- A payload goes only while the newest record is the one that says it goes: that is, from within audit.redact.
create function audit.guard_payload() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp as $guard_payload$
begin
    if exists (select from audit.head h join audit.payload p on p.seq = h.seq
        where p.kind = 'record.redacted'
        and convert_from(p.payload, 'UTF8')::jsonb -> 'redacts' = to_jsonb(old.seq)) then
        return old;
    end if;
    raise exception 'a payload is erased only by audit.redact: delete refused' using errcode = '42501';
end
$guard_payload$;

create trigger record_stays before update or delete on audit.record
    for each row execute function audit.refuse_change();
create trigger record_stays_whole before truncate on audit.record
    for each statement execute function audit.refuse_change();
create trigger payload_stays before update on audit.payload
    for each row execute function audit.refuse_change();
create trigger payload_goes_by_redaction before delete on audit.payload
    for each row execute function audit.guard_payload();
create trigger payload_stays_whole before truncate on audit.payload
    for each statement execute function audit.refuse_change();
create trigger head_advances before insert or update or delete on audit.head
    for each row execute function audit.guard_head();
create trigger head_stays_whole before truncate on audit.head
    for each statement execute function audit.refuse_change();

-- An ordinary trigger is skipped under session_replication_role = replica; an ALWAYS trigger is not.
alter table audit.record enable always trigger record_stays;
alter table audit.record enable always trigger record_stays_whole;
alter table audit.payload enable always trigger payload_stays;
alter table audit.payload enable always trigger payload_goes_by_redaction;
alter table audit.payload enable always trigger payload_stays_whole;
alter table audit.head enable always trigger head_advances;
alter table audit.head enable always trigger head_stays_whole;

revoke all on all functions in schema audit from public;
revoke all on all tables in schema audit from public;
grant usage on schema audit to countersign_app, countersign_reader;
grant select on audit.head, audit.record, audit.payload to countersign_app, countersign_reader;
grant execute on function audit.append(text, text, bytea) to countersign_app;
