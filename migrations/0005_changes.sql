-- What changed lately in what pages show, so that every replica can tell the pages it has open to look again (H-05). Hints
-- alone: nothing is ever decided by a row of this table, and losing one costs a few seconds.
--
-- A row is written, and a notification sent, by the transaction that makes the change. A replica that missed the
-- notification finds the row: it asks for what was changed by transactions that had not ended when it asked last.
create table portal.change (
    transaction xid8 not null default pg_current_xact_id(),
    -- 'approval <id>', or 'queue' for what is on many pages.
    topic text not null check (octet_length(topic) <= 100),
    changed_at timestamptz not null default clock_timestamp(),
    -- One transaction changes a thing once, however many of its columns and rows.
    primary key (transaction, topic)
);
grant select, insert, delete on portal.change to countersign_app;

-- One argument: the column that holds the approval's id. None: many pages.
create function portal.tell_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $tell_change$
declare
    about text := 'queue';
begin
    if tg_nargs = 1 then
        about := 'approval ' || (to_jsonb(new) ->> tg_argv[0]);
    end if;
    insert into portal.change (topic) values (about) on conflict do nothing;
    -- The server sends equal ones of a transaction once.
    perform pg_notify('countersign', about);
    return null;
end
$tell_change$;

-- Never on what every sweep writes although nothing happened (last reads, last sightings), nor on leases: NOTIFY makes all
-- commits of the server queue up for a moment (H-06).
create trigger approval_opens after insert on portal.approval
    for each row execute function portal.tell_change('id');
create trigger approval_changes
    after update of at_aws, shown, fingerprint, details, opened_at, expires_at, closed_why on portal.approval
    for each row
    when ((old.at_aws, old.fingerprint, old.details, old.opened_at, old.expires_at, old.closed_why)
        is distinct from (new.at_aws, new.fingerprint, new.details, new.opened_at, new.expires_at, new.closed_why))
    execute function portal.tell_change('id');

create trigger decision_begins after insert on portal.decision
    for each row execute function portal.tell_change('approval_id');
create trigger decision_moves after update of state, attempt, reason, needs_person_since on portal.decision
    for each row
    when ((old.state, old.attempt, old.reason, old.needs_person_since)
        is distinct from (new.state, new.attempt, new.reason, new.needs_person_since))
    execute function portal.tell_change('approval_id');

create trigger source_appears after insert on portal.source
    for each row execute function portal.tell_change();
-- The first complete read turns "nothing is known yet" into "nothing waits".
create trigger source_changes after update of blind_since, configured, account, swept_at on portal.source
    for each row
    when ((old.blind_since, old.configured, old.account, old.swept_at is null)
        is distinct from (new.blind_since, new.configured, new.account, new.swept_at is null))
    execute function portal.tell_change();

create trigger pipeline_cannot_be_read after insert on portal.pipeline
    for each row when (new.unreadable_since is not null) execute function portal.tell_change();
create trigger pipeline_can_or_cannot_be_read after update of unreadable_since on portal.pipeline
    for each row when (old.unreadable_since is distinct from new.unreadable_since)
    execute function portal.tell_change();
