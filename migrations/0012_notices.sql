-- What people are told by mail: that an approval waits, that its time runs out, what became of it, that a source cannot be
-- read. None of it is part of the record, and nothing is decided by it.

-- The members of this group are told when nobody decides the gates that fit. Lets nobody do anything. Never changed, only
-- ended.
create table portal.escalation (
    id uuid primary key,
    group_id uuid not null references portal.people_group,
    source text not null check (source <> '' and octet_length(source) <= 200),
    pipeline text not null check (pipeline <> '' and octet_length(pipeline) <= 200),
    stage text not null check (stage <> '' and octet_length(stage) <= 200),
    action text not null check (action <> '' and octet_length(action) <= 200),
    tag_key text check (tag_key <> '' and octet_length(tag_key) <= 512),
    tag_value text check (octet_length(tag_value) <= 1024),
    -- How long after it opened; absent: when half of its time is over.
    after_minutes integer check (after_minutes between 1 and 43200),
    note text not null default '' check (char_length(note) <= 500),
    from_at timestamptz not null,
    until_at timestamptz,
    given_by uuid references portal.account,
    ended_by uuid references portal.account,
    constraint escalation_tag check ((tag_key is null) = (tag_value is null)),
    constraint escalation_order check (until_at is null or until_at >= from_at)
);

-- That something happened which somebody may want to hear of, in the transaction in which it did (H-04). Whom it concerns is
-- worked out afterwards, so that neither a sweep nor a decision ever waits for it. A reminder is one that is due later.
create table portal.notice (
    id bigint generated always as identity primary key,
    kind text not null
        check (kind in ('waiting', 'half_time', 'escalated', 'last_hour', 'decided', 'expired', 'ended', 'blind', 'seen')),
    approval_id uuid references portal.approval,
    -- By which rule others are told that nobody decides it.
    escalation_id uuid references portal.escalation,
    source text references portal.source,
    -- When it happened; of `seen`, since when the source could not be read.
    at timestamptz not null,
    due_at timestamptz not null,
    -- Whom it concerns is worked out, or nobody can be told any more.
    done_at timestamptz,
    attempts integer not null default 0 check (attempts >= 0),
    lease_holder uuid,
    lease_until timestamptz,
    last_error text check (char_length(last_error) <= 500),
    constraint notice_about check (num_nonnulls(approval_id, source) = 1),
    constraint notice_escalated check ((kind = 'escalated') = (escalation_id is not null))
);
create unique index notice_escalated_once on portal.notice (approval_id, escalation_id) where escalation_id is not null;
create index notice_due on portal.notice (due_at) where done_at is null;
create index notice_approval on portal.notice (approval_id) where approval_id is not null;
create index notice_source on portal.notice (source, at) where source is not null;
create index notice_done on portal.notice (done_at) where done_at is not null;

-- Who is to be told, and whether they were. No reference to the account: that would lock its key against whoever signs in
-- for as long as a thousand approvals are worked out; and accounts are never deleted.
create table portal.notice_to (
    notice_id bigint not null references portal.notice on delete cascade,
    account_id uuid not null,
    -- Why they are: they may decide it, they started its run, they are in a group that hears of what nobody decides, or they
    -- are an admin.
    why text not null check (why in ('decider', 'starter', 'escalated', 'admin')),
    -- Absent once they were told, or need not be any more.
    due_at timestamptz,
    told_at timestamptz,
    primary key (notice_id, account_id),
    constraint notice_to_told check (told_at is null or due_at is null)
);
create index notice_to_due on portal.notice_to (account_id, due_at) where due_at is not null;

-- When somebody's next letter may be written: what comes close together is one letter, and no two letters are.
create table portal.notice_pace (
    account_id uuid primary key,
    -- Absent while there is nothing for them.
    due_at timestamptz,
    last_letter_at timestamptz,
    attempts integer not null default 0 check (attempts >= 0),
    lease_holder uuid,
    lease_until timestamptz
);
create index notice_pace_due on portal.notice_pace (due_at) where due_at is not null;

-- What somebody wants to be told, and when. Without a row it is as the program says.
create table portal.notice_choice (
    account_id uuid primary key references portal.account,
    waiting boolean not null,
    reminders boolean not null,
    decided boolean not null,
    expired boolean not null,
    blind boolean not null,
    pace text not null check (pace in ('at_once', 'hourly', 'daily')),
    digest_hour smallint not null check (digest_hour between 0 and 23),
    -- Minutes of the day, in the person's time zone. Both or none.
    quiet_from smallint check (quiet_from between 0 and 1439),
    quiet_until smallint check (quiet_until between 0 and 1439),
    -- What would expire within the quiet hours is told all the same.
    quiet_except boolean not null,
    changed_at timestamptz not null,
    constraint notice_choice_quiet check ((quiet_from is null) = (quiet_until is null) and quiet_from <> quiet_until)
);

-- 0: about an account. 1: a notice that does not bear waiting. 2: any other. What is about accounts goes first, but never all
-- of the way. A notice signs nobody in, so that it is kept, sealed, when it could not be delivered, to be sent again.
alter table portal.mail
    add column rank smallint not null default 0 check (rank between 0 and 2);
create index mail_rank on portal.mail (rank, due_at) where due_at is not null;

grant select, insert, update, delete on portal.notice, portal.notice_to, portal.notice_pace, portal.notice_choice
    to countersign_app;
grant select, insert, update on portal.escalation to countersign_app;

-- What kind of notice tells of an end.
create function portal.notice_of_end(at_aws text) returns text
language sql immutable
return case when at_aws in ('approved', 'rejected') then 'decided' when at_aws = 'expired' then 'expired' else 'ended' end;
grant execute on function portal.notice_of_end(text) to countersign_app;

-- What a trigger below could not leave: always nothing, unless a notice cannot be written at all.
create view portal.notice_missing as
    select a.id as approval_id, 'waiting' as kind, a.seen_open_at as at from portal.approval a
    where a.at_aws = 'open'
        and not exists (select from portal.notice n where n.approval_id = a.id and n.kind = 'waiting')
    union all
    select a.id, portal.notice_of_end(a.at_aws), a.closed_at
    from (select approval_id, max(id) as id from portal.notice where kind = 'waiting' group by approval_id) w
    join portal.approval a on a.id = w.approval_id
    where a.at_aws <> 'open'
        and not exists (select from portal.notice e where e.approval_id = a.id and e.id > w.id
            and e.kind in ('decided', 'expired', 'ended'));
grant select on portal.notice_missing to countersign_app;

-- The reminders of an approval that waits: at half time, and an hour before its time is over. They follow when the deadline
-- becomes known better; whoever was told of a last hour that was none is told of the true one. What is being worked on just
-- now is left alone rather than waited for.
create function portal.plan_reminders(approval portal.approval) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $plan_reminders$
declare
    last_hour timestamptz := approval.expires_at - interval '1 hour';
    half_time timestamptz := approval.opened_at + (approval.expires_at - approval.opened_at) / 2;
    one record;
begin
    -- Of a short time the half is later than the last hour's beginning: one reminder then does for both.
    if last_hour > approval.seen_open_at and half_time >= last_hour then
        half_time := last_hour;
    end if;
    for one in select * from (values ('last_hour', last_hour), ('half_time', half_time)) planned (kind, due) loop
        update portal.notice set due_at = one.due where id in (
            select id from portal.notice
            where approval_id = approval.id and kind = one.kind and done_at is null and due_at <> one.due
            for update skip locked);
        insert into portal.notice (kind, approval_id, at, due_at)
            select one.kind, approval.id, approval.seen_open_at, one.due
            where one.due > approval.seen_open_at
                and (one.kind = 'last_hour' or one.due <> last_hour)
                and not exists (select from portal.notice n where n.approval_id = approval.id and n.kind = one.kind
                    and (n.done_at is null or one.kind = 'half_time' or n.due_at > one.due - interval '30 minutes'));
    end loop;
end
$plan_reminders$;

revoke execute on function portal.plan_reminders(portal.approval) from public;
grant execute on function portal.plan_reminders(portal.approval) to countersign_app;

-- Notices are by the way: whatever is the matter with them, an approval opens and ends all the same. The server's log, and
-- the portal's, says what was the matter; the page of the system counts them, and the portal leaves what is missing as soon as
-- it can.
create function portal.note_approval() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $note_approval$
begin
    if tg_argv[0] = 'opened' then
        insert into portal.notice (kind, approval_id, at, due_at)
            values ('waiting', new.id, new.seen_open_at, new.seen_open_at);
        perform portal.plan_reminders(new);
    elsif tg_argv[0] = 'moved' then
        perform portal.plan_reminders(new);
    else
        -- AWS says when it ended, by a clock of its own; it is due in any case.
        insert into portal.notice (kind, approval_id, at, due_at)
            values (portal.notice_of_end(new.at_aws), new.id, new.closed_at, least(new.closed_at, new.seen_open_at));
    end if;
    return null;
exception when others then
    raise warning 'nobody is told of approval %: %', new.id, sqlerrm;
    return null;
end
$note_approval$;

create function portal.note_source() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $note_source$
begin
    if new.blind_since is not null then
        -- What is over within a minute is not worth a letter.
        insert into portal.notice (kind, source, at, due_at)
            values ('blind', new.name, new.blind_since, new.blind_since + interval '1 minute');
    else
        insert into portal.notice (kind, source, at, due_at)
            values ('seen', new.name, old.blind_since, old.blind_since);
    end if;
    return null;
exception when others then
    raise warning 'nobody is told of source %: %', new.name, sqlerrm;
    return null;
end
$note_source$;

-- Never on what every sweep writes although nothing happened (H-06).
create trigger approval_opened_notice after insert on portal.approval
    for each row when (new.at_aws = 'open') execute function portal.note_approval('opened');
create trigger approval_found_again_notice after update of at_aws on portal.approval
    for each row when (old.at_aws <> 'open' and new.at_aws = 'open') execute function portal.note_approval('opened');
create trigger approval_moved_notice after update of opened_at, expires_at on portal.approval
    for each row
    when (new.at_aws = 'open' and (old.opened_at, old.expires_at) is distinct from (new.opened_at, new.expires_at))
    execute function portal.note_approval('moved');
create trigger approval_ended_notice after update of at_aws on portal.approval
    for each row when (old.at_aws = 'open' and new.at_aws <> 'open') execute function portal.note_approval('ended');
create trigger source_notice after update of blind_since on portal.source
    for each row when ((old.blind_since is null) <> (new.blind_since is null)) execute function portal.note_source();

-- What waits already is not told of again, but nobody is left without its reminders.
do $plan$
begin
    insert into portal.notice (kind, approval_id, at, due_at, done_at)
        select 'waiting', id, seen_open_at, seen_open_at, clock_timestamp() from portal.approval where at_aws = 'open';
    perform portal.plan_reminders(a) from portal.approval a where a.at_aws = 'open';
end
$plan$;
