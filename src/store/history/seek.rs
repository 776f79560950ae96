//! The SQL of a page of the history. One filter leads: its index is walked in order of numbers until the page is full, and
//! the other filters are looked up for each entry, from the index alone where it holds them. Joins are written so that the
//! planner has no choice: what it knows of single columns says nothing about combinations, and one wrong guess among
//! millions of records is a page that takes a minute.

use sqlx::{Postgres, QueryBuilder};

use super::{Outcome, PAGE, Range, Sought, Who};
use crate::domain::decision::State;

/// The filter whose index is walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lead {
    Pipelines,
    People,
    /// Somebody at AWS.
    Arn,
    Verdict,
    /// What became of our decisions: the decision table, whose index also knows the person and the verdict.
    State,
    /// No filter, or one that nearly everything passes: the records themselves.
    Nothing,
}

/// In these words, because the partial indexes are made with them.
const LISTED: &str = "kind in ('decision.intended', 'approval.decided_elsewhere')";
/// Who decided outside, as the index of the same expression knows it.
const BY: &str = r#"left(substring(encode(t.payload, 'escape') from '"by":"([^"\\]*)"'), 512)"#;

impl Lead {
    /// The filters that are set and have an index of their own, those first that are cheapest to walk when all are common.
    pub fn candidates(sought: &Sought) -> Vec<Self> {
        let is_rare_state = matches!(sought.outcome, Some(Outcome::Ours(state)) if state != State::Accepted);
        let mut found = Vec::new();
        found.extend(sought.pipelines.is_some().then_some(Self::Pipelines));
        found.extend(matches!(sought.who, Some(Who::Accounts(_))).then_some(Self::People));
        found.extend(is_rare_state.then_some(Self::State));
        found.extend(sought.verdict.is_some().then_some(Self::Verdict));
        found.extend(matches!(sought.who, Some(Who::Arn(_))).then_some(Self::Arn));
        if found.is_empty() && matches!(sought.outcome, Some(Outcome::Ours(_))) {
            found.push(Self::State);
        }
        found
    }

    fn number(self) -> &'static str {
        if self == Self::State { "d.intent_seq" } else { "p.seq" }
    }

    /// Several values are walked one by one and merged: an index gives the order for one value alone.
    fn values(self, sought: &Sought) -> Option<Values> {
        match (self, &sought.pipelines, &sought.who) {
            (Self::Pipelines, Some(names), _) => Some(Values::Names(names.clone())),
            (Self::People, _, Some(Who::Accounts(ids))) => Some(Values::Ids(ids.clone())),
            _ => None,
        }
    }
}

enum Values {
    Names(Vec<String>),
    Ids(Vec<uuid::Uuid>),
}

/// The page's numbers are found and limited first; only then is the rest joined.
pub fn select_page(sought: &Sought, lead: Lead, range: &Range) -> QueryBuilder<Postgres> {
    let order = if matches!(sought.position, super::Position::After(_)) { "" } else { " desc" };
    let limit = i64::try_from(PAGE).expect("a page is small") + 1;
    let mut query = QueryBuilder::new("select r.seq, r.at, r.kind, p.payload, d.state from (");
    let values = lead.values(sought);
    match values {
        None => push_walk(&mut query, sought, lead, range),
        Some(values) => {
            query.push("select walked.seq from (select distinct value from unnest(");
            match values {
                Values::Names(names) => query.push_bind(names),
                Values::Ids(ids) => query.push_bind(ids),
            };
            query.push(") given (value)) led cross join lateral (");
            push_walk(&mut query, sought, lead, range);
            query.push(order).push(" limit ").push_bind(limit).push(") walked order by walked.seq");
        }
    }
    query.push(order).push(" limit ").push_bind(limit);
    query.push(
        ") page join audit.record r on r.seq = page.seq left join audit.payload p on p.seq = page.seq \
        left join portal.decision d on d.intent_seq = page.seq order by page.seq",
    );
    query.push(order);
    query
}

/// One walk along the lead's index, as far as its order.
fn push_walk(query: &mut QueryBuilder<Postgres>, sought: &Sought, lead: Lead, range: &Range) {
    let number = lead.number();
    query.push("select ").push(number).push(" as seq from ");
    match lead {
        Lead::Pipelines => {
            query.push("audit.payload p where p.").push(LISTED).push(" and p.pipeline = led.value");
        }
        Lead::People => {
            query.push("audit.payload p where p.").push(LISTED).push(" and p.person = led.value");
        }
        _ => push_led(query, sought, lead),
    }
    match lead {
        Lead::State => push_looked_up(query, sought),
        _ => push_filters(query, sought, lead),
    }
    push_range(query, lead, range);
    query.push(" order by ").push(number);
}

/// The table and the condition of one filter alone.
pub fn push_led(query: &mut QueryBuilder<Postgres>, sought: &Sought, lead: Lead) {
    match lead {
        Lead::Nothing => {
            query.push("audit.record p where p.").push(LISTED);
        }
        Lead::State => {
            query.push("portal.decision d where true");
            if let Some(Outcome::Ours(state)) = sought.outcome {
                query.push(" and d.state = ").push_bind(state.name());
            }
            push_known_of_decision(query, sought);
        }
        Lead::Arn => {
            query.push("audit.payload p where p.kind = 'approval.decided_elsewhere'");
            push_who(query, sought, Use::Walked);
        }
        Lead::Pipelines | Lead::People | Lead::Verdict => {
            query.push("audit.payload p where p.").push(LISTED);
            match lead {
                Lead::Pipelines => push_pipelines(query, sought, Use::Walked),
                Lead::People => push_who(query, sought, Use::Walked),
                _ => push_verdict(query, sought, Use::Walked),
            }
        }
    }
}

pub fn push_range(query: &mut QueryBuilder<Postgres>, lead: Lead, range: &Range) {
    let number = lead.number();
    query.push(" and ").push(number).push(" >= ").push_bind(range.floor);
    query.push(" and ").push(number).push(" < ").push_bind(range.ceiling);
}

/// Every filter but the leading one, on an entry `p`.
fn push_filters(query: &mut QueryBuilder<Postgres>, sought: &Sought, lead: Lead) {
    if lead != Lead::Pipelines {
        push_pipelines(query, sought, Use::Checked);
    }
    if lead != Lead::Verdict {
        push_verdict(query, sought, Use::Checked);
    }
    match (&sought.who, lead) {
        (None, _) | (Some(_), Lead::People | Lead::Arn) => {}
        (Some(Who::Accounts(_)), _) => push_who(query, sought, Use::Checked),
        (Some(Who::Arn(arn)), _) => {
            // The payload alone tells; it is fetched only for entries that pass everything else.
            query.push(" and p.kind = 'approval.decided_elsewhere' and (select ").push(BY);
            query.push(" from audit.payload t where t.seq = p.seq) = ").push_bind(clipped(arn));
        }
    }
    match sought.outcome {
        None => {}
        Some(Outcome::Outside) => drop(query.push(" and p.kind = 'approval.decided_elsewhere'")),
        Some(Outcome::Ours(state)) => {
            query.push(
                " and p.kind = 'decision.intended' \
                and (select d.state from portal.decision d where d.intent_seq = p.seq) = ",
            );
            query.push_bind(state.name());
        }
    }
}

/// What a decision's own row says like its record, and the index of the outcomes holds: nothing is looked up for the rest.
fn push_known_of_decision(query: &mut QueryBuilder<Postgres>, sought: &Sought) {
    if let Some(verdict) = &sought.verdict {
        query.push(" and d.verdict = ").push_bind(verdict.clone());
    }
    if let Some(Who::Accounts(ids)) = &sought.who {
        query.push(" and d.account_id = any(").push_bind(ids.clone()).push(")");
    }
}

/// Every filter but the state, on a decision `d`: in the payload of its intent. `offset 0` keeps it a look-up.
fn push_looked_up(query: &mut QueryBuilder<Postgres>, sought: &Sought) {
    if sought.pipelines.is_none() && sought.who.is_none() && sought.verdict.is_none() {
        return;
    }
    query.push(" and exists (select from audit.payload p where p.seq = d.intent_seq and p.").push(LISTED);
    push_pipelines(query, sought, Use::Checked);
    push_who(query, sought, Use::Checked);
    push_verdict(query, sought, Use::Checked);
    query.push(" offset 0)");
}

/// How a condition is meant. What is checked must not tempt the planner to walk its index instead of the leading one, and
/// `is true` can be answered from no index.
#[derive(Clone, Copy)]
enum Use {
    Walked,
    Checked,
}

impl Use {
    fn ending(self) -> &'static str {
        match self {
            Self::Walked => ")",
            Self::Checked => ") is true",
        }
    }
}

fn push_pipelines(query: &mut QueryBuilder<Postgres>, sought: &Sought, how: Use) {
    if let Some(names) = &sought.pipelines {
        query.push(" and (p.pipeline = any(").push_bind(names.clone()).push(")").push(how.ending());
    }
}

fn push_who(query: &mut QueryBuilder<Postgres>, sought: &Sought, how: Use) {
    match &sought.who {
        None => {}
        Some(Who::Accounts(ids)) => {
            query.push(" and (p.person = any(").push_bind(ids.clone()).push(")").push(how.ending());
        }
        Some(Who::Arn(arn)) => {
            query.push(" and (").push(BY.replace("t.", "p.")).push(" = ").push_bind(clipped(arn)).push(how.ending());
        }
    }
}

fn push_verdict(query: &mut QueryBuilder<Postgres>, sought: &Sought, how: Use) {
    if let Some(verdict) = &sought.verdict {
        query.push(" and (p.verdict = ").push_bind(verdict.clone()).push(how.ending());
    }
}

/// As long as the index knows it.
fn clipped(arn: &str) -> String {
    arn.chars().take(512).collect()
}
