-- Gates at which the portal itself rejects what nobody decided in time, and the decisions that it makes under such an option.
-- Runs as countersign_owner.

-- `reject_unattended`: what nobody decided within so many minutes of its opening is rejected at AWS. From five minutes, the
-- shortest time AWS gives an approval, to seven days, after which AWS fails it by itself unless it was told otherwise.
alter table portal.gate_option
    drop constraint gate_option_kind_check,
    drop constraint gate_option_minutes_check,
    add constraint gate_option_kind check (kind in ('decide_by_mail', 'reject_unattended')),
    add constraint gate_option_minutes
        check (minutes between 5 and case kind when 'decide_by_mail' then 1440 else 10080 end);

-- A decision of nobody's: made by the portal, under an option, and never an approval. Every other has its person.
alter table portal.decision
    alter column account_id drop not null,
    drop constraint decision_channel_check,
    add column gate_option_id uuid references portal.gate_option,
    add constraint decision_channel check (channel in ('page', 'link', 'api', 'rule')),
    add constraint decision_by_rule check (
        case when channel = 'rule'
            then account_id is null and for_account is null and not proven and gate_option_id is not null
                and verdict = 'rejected'
            else account_id is not null and gate_option_id is null
        end);
