-- What the history needs over ten million records: an index for each filter that also holds the others, so that a
-- combination that finds next to nothing is looked up in indexes alone. Runs as countersign_owner.

create index payload_seek_pipeline on audit.payload (pipeline, seq) include (person, verdict, kind)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
create index payload_seek_person on audit.payload (person, seq) include (pipeline, verdict, kind)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
create index payload_seek_verdict on audit.payload (verdict, seq) include (pipeline, person, kind)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
create index payload_seek_listed on audit.payload (seq) include (pipeline, person, verdict, kind)
    where kind in ('decision.intended', 'approval.decided_elsewhere');
drop index audit.payload_history_pipeline;
drop index audit.payload_history_person;
drop index audit.payload_history_verdict;

-- Who decided outside stands in the payload alone. `escape` leaves ASCII as it is and, unlike a conversion to text, gives
-- the same for ever; a quotation mark inside a JSON string has a backslash before it and ends no match early.
create index payload_seek_by on audit.payload
    ((left(substring(encode(payload, 'escape') from '"by":"([^"\\]*)"'), 512)), seq)
    where kind = 'approval.decided_elsewhere';

-- An index alone answers only for pages that vacuum has seen. These tables only grow, and by the default a fifth of the
-- table would be unseen at times.
alter table audit.payload set (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
alter table audit.record set (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
