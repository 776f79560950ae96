-- The outcomes of the history that are rare, with what else is asked of them, answered from one index: of twenty thousand
-- decisions that somebody was quicker than, the rejected ones are found without looking each up in its record.
-- Runs as countersign_owner.

create index decision_seek_outcome on portal.decision (state, intent_seq) include (verdict, account_id);
drop index portal.decision_outcome;

-- As 0006 says of the records.
alter table portal.decision set (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
