-- What announcements from AWS leave behind: the deadlines they told, when each pipeline was last looked at because of one, and
-- whether they can be relied on. Nothing in here decides anything; losing a row costs an exact deadline or a read. Rows live
-- shortly, and may come before their source's own.

-- CodePipeline tells the exact deadline of a request in its message about it and nowhere else. The message may come before or
-- after the request is seen, and to another replica. The token itself is not kept.
create table portal.deadline (
    source text not null,
    token_hash bytea not null check (octet_length(token_hash) = 32),
    expires_at timestamptz not null,
    told_at timestamptz not null,
    primary key (source, token_hash)
);
create index deadline_expires on portal.deadline (expires_at);

-- However many announcements come, to however many replicas: one read of a pipeline in two seconds (U-08).
create table portal.look (
    source text not null,
    pipeline text not null check (pipeline <> ''),
    began_at timestamptz not null,
    primary key (source, pipeline)
);

-- Since when, and why, what AWS announces of a source is not relied on although the source has a queue.
alter table portal.source add column deaf_since timestamptz;
alter table portal.source add column deaf_why text;
alter table portal.source add constraint source_deaf check ((deaf_since is null) = (deaf_why is null));
create trigger source_is_deaf after update of deaf_since on portal.source
    for each row when (old.deaf_since is distinct from new.deaf_since) execute function portal.tell_change();

grant select, insert, delete on portal.deadline to countersign_app;
grant select, insert, update, delete on portal.look to countersign_app;
