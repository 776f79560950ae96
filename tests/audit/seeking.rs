//! The history finds exactly what its filters describe, whichever of them leads the search: every combination is compared
//! with a plain look at all that was recorded (P-08).

use countersign::audit::{Kind, Payload, append};
use countersign::database::Role;
use countersign::domain::decision::State;
use countersign::random::Random;
use countersign::store::history::{Outcome, PAGE, Position, Sought, Who, list_history};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::support::postgres::TestDatabase;

const SEED: u64 = 6;
const PIPELINES: [&str; 4] = ["orders", "shop", "billing", "yearly"];
const ARNS: [&str; 2] =
    ["arn:aws:iam::111122223333:user/ines", "arn:aws:sts::111122223333:assumed-role/Ops/o\"by\":\"x"];
const STATES: [State; 4] = [State::Accepted, State::Refused, State::Elsewhere, State::Stale];

/// What was recorded, as the test knows it.
#[derive(Debug, Clone)]
struct Told {
    seq: i64,
    pipeline: &'static str,
    verdict: &'static str,
    person: Option<Uuid>,
    arn: Option<&'static str>,
    state: Option<State>,
}

fn person(n: usize) -> Uuid {
    Uuid::from_u128(100 + n as u128)
}

fn pick<T: Copy>(rng: &mut fastrand::Rng, among: &[T]) -> T {
    among[rng.usize(..among.len())]
}

/// Records decisions made here and outside, and others that the history does not list.
async fn record(database: &TestDatabase, rng: &mut fastrand::Rng, count: usize) -> Vec<Told> {
    let random = Random::seeded(SEED);
    let mut app = database.connect(Role::App).await;
    let mut superuser = database.connect_superuser().await;
    // The decisions' approvals and accounts do not matter here.
    superuser.execute("set session_replication_role = replica").await.unwrap();
    let mut told = Vec::new();
    let mut transaction = app.begin().await.unwrap();
    for n in 0..count {
        let pipeline = if n % 150 == 7 { "yearly" } else { pick(rng, &PIPELINES[..3]) };
        let verdict = if rng.u8(..10) == 0 { "rejected" } else { "approved" };
        let (who, arn) = (person(rng.usize(..3)), pick(rng, &ARNS));
        let (kind, fields) = match rng.u8(..10) {
            0..6 => {
                (Kind::DecisionIntended, json!({"pipeline": pipeline, "verdict": verdict, "person": who.to_string()}))
            }
            6..9 => {
                let summary = r#"they wrote "by":"somebody" here"#;
                let fields = json!({"pipeline": pipeline, "verdict": verdict, "by": arn, "summary": summary});
                (Kind::ApprovalDecidedElsewhere, fields)
            }
            _ => (Kind::DecisionSent, json!({"pipeline": pipeline, "verdict": verdict, "person": who.to_string()})),
        };
        let payload = Payload::new(&random, &fields).unwrap();
        let appended = append(&mut transaction, kind, "system", &payload).await.unwrap();
        let listed = Told { seq: appended.seq, pipeline, verdict, person: None, arn: None, state: None };
        match kind {
            Kind::DecisionIntended => {
                let state = pick(rng, &STATES);
                insert_decision(&mut superuser, &listed, who, state).await;
                told.push(Told { person: Some(who), state: Some(state), ..listed });
            }
            Kind::ApprovalDecidedElsewhere => told.push(Told { arn: Some(arn), ..listed }),
            _ => {}
        }
    }
    transaction.commit().await.unwrap();
    told.reverse();
    told
}

/// With the verdict and the account of its record, as an intent is written.
async fn insert_decision(conn: &mut PgConnection, told: &Told, account: Uuid, state: State) {
    sqlx::query(
        "insert into portal.decision (id, approval_id, account_id, verdict, summary, signed_as, fingerprint, channel, state,
            attempt, intent_seq, intent_hash, created_at, settled_at)
        values (gen_random_uuid(), gen_random_uuid(), $1, $4, '', 'Ana', sha256('x'), 'page', $2, 1, $3,
            sha256('x'), now(), now())",
    )
    .bind(account)
    .bind(state.name())
    .bind(told.seq)
    .bind(told.verdict)
    .execute(conn)
    .await
    .unwrap();
}

fn any_filter(rng: &mut fastrand::Rng, newest: i64) -> Sought {
    let mut sought = Sought::default();
    if rng.bool() {
        let count = rng.usize(1..=3);
        sought.pipelines = Some((0..count).map(|_| pick(rng, &PIPELINES).to_owned()).collect());
    }
    sought.who = match rng.u8(..4) {
        0 => Some(Who::Accounts((0..rng.usize(..3)).map(person).collect())),
        1 => Some(Who::Arn(pick(rng, &ARNS).to_owned())),
        _ => None,
    };
    sought.verdict = pick(rng, &[None, Some("approved"), Some("rejected")]).map(str::to_owned);
    sought.outcome = match rng.u8(..3) {
        0 => Some(Outcome::Ours(pick(rng, &STATES))),
        1 => Some(Outcome::Outside),
        _ => None,
    };
    sought.position = match rng.u8(..3) {
        0 => Position::Before(rng.i64(1..newest)),
        1 => Position::After(rng.i64(1..newest)),
        _ => Position::Newest,
    };
    sought
}

fn matches(told: &Told, sought: &Sought) -> bool {
    let is_of_pipeline = sought.pipelines.as_ref().is_none_or(|names| names.iter().any(|name| name == told.pipeline));
    let is_by = match &sought.who {
        None => true,
        Some(Who::Accounts(ids)) => told.person.is_some_and(|person| ids.contains(&person)),
        // What stands behind a quotation mark is no part of what is found by.
        Some(Who::Arn(arn)) => told.arn == Some(arn.as_str()) && !arn.contains('"'),
    };
    let has_outcome = match sought.outcome {
        None => true,
        Some(Outcome::Outside) => told.state.is_none(),
        Some(Outcome::Ours(state)) => told.state == Some(state),
    };
    let has_verdict = sought.verdict.as_ref().is_none_or(|verdict| verdict == told.verdict);
    let is_there = match sought.position {
        Position::Newest => true,
        Position::Before(seq) => told.seq < seq,
        Position::After(seq) => told.seq > seq,
    };
    is_of_pipeline && is_by && has_outcome && has_verdict && is_there
}

#[tokio::test]
async fn every_combination_of_filters_finds_exactly_what_was_recorded() {
    let database = TestDatabase::create().await;
    let mut rng = fastrand::Rng::with_seed(SEED);
    let told = record(&database, &mut rng, 900).await;
    let mut conn = database.connect(Role::App).await;
    let mut found_some = 0;
    for round in 0..400 {
        let sought = any_filter(&mut rng, told[0].seq);
        let page = list_history(&mut conn, &sought).await.unwrap();
        let found: Vec<i64> = page.entries.iter().map(|entry| entry.seq).collect();
        let all: Vec<i64> = told.iter().filter(|it| matches(it, &sought)).map(|it| it.seq).collect();
        let expected = match sought.position {
            Position::After(_) => &all[all.len().saturating_sub(PAGE)..],
            _ => &all[..all.len().min(PAGE)],
        };
        assert_eq!(found, expected, "round {round} of seed {SEED}: {sought:?}");
        found_some += u32::from(!found.is_empty());
    }
    assert!(found_some > 150, "most filters should find something: {found_some}");
}
