-- What came to /hooks/sns and was genuine, so that it is taken once, by whichever replica (U-06). Only what SNS signed for a
-- listed topic is ever written here, and a row lives for a day. Nothing in it decides anything; losing one costs a read.

create table portal.hook_message (
    -- SNS's own id, which a message keeps when it is sent again.
    message_id text primary key check (message_id <> '' and octet_length(message_id) <= 100),
    taken_at timestamptz not null,
    -- Null while somebody is at it; for longer where they died or could not say that nothing came of it.
    done_at timestamptz
);
create index hook_message_taken on portal.hook_message (taken_at);

grant select, insert, update, delete on portal.hook_message to countersign_app;
