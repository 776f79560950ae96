//! A process that is told to stop in the middle of it all (F-35, P-20).

use std::time::Duration;

use countersign::simulator::{Fault, FaultKind};
use nix::sys::signal::Signal;

use crate::harness::{Form, Person, Stage, Told, until};

const MANY: usize = 50;
/// A process that starts has settled what the last one left behind by then (F-35).
const SETTLED_BY_THE_NEXT: Duration = Duration::from_secs(45);

/// Fifty pipelines, each waiting.
fn world() -> String {
    let pipelines = "[[worlds.generate]]\nprefix = \"svc-\"\ntemplate = \"gated\"\ngated_template = \"gated\"";
    let (head, _) = include_str!("harness/gates.toml").split_once("pipelines = [").unwrap();
    format!("{head}\n{pipelines}\ncount = {MANY}\ngated = {MANY}\nwaiting = {MANY}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_during_fifty_decisions_it_loses_none_and_the_next_process_settles_the_rest() {
    // F-35
    let stage = Stage::start_with(&world(), None).await;
    let mut replica = stage.replica("first");
    // As behind a balancer: pages of what it has begun can still be read.
    replica.set("COUNTERSIGN_FAREWELL", "5s");
    replica.start().await;
    let forms = fill_in_all(&stage, &replica).await;
    // Slow enough that many are under way; and one that AWS has not answered when the process has to go.
    let slow = FaultKind::Delay { ms: 400 };
    stage.simulator.add_fault(Fault::on("PutApprovalResult", slow));
    let hang = FaultKind::Hang { seconds: None, applied: true };
    let hung = stage.simulator.add_fault(Fault::on("PutApprovalResult", hang).times(1));
    let sending = futures::future::join_all(forms.iter().map(|(person, form)| person.send(&replica, form)));
    let told = tokio::join!(sending, async {
        stage.simulator.until_called("PutApprovalResult", 10).await;
        replica.signal(Signal::SIGTERM).await;
    });
    assert_eq!(replica.ended().await, Some(0), "{}", replica.log());
    let done = told.0.iter().filter(|told| **told == Told::Done).count();
    let refused = told.0.iter().filter(|told| matches!(told, Told::Not(_))).count();
    assert_eq!(refused, 0, "nobody was told that nothing happened: {:?}", told.0);
    assert!(done >= 1, "those it had begun were answered: {:?}", told.0);
    stage.simulator.release(hung);

    let next = stage.serving("next").await;
    let mut conn = stage.database.connect_superuser().await;
    until("the next process has settled everything", SETTLED_BY_THE_NEXT, async || {
        let live = "select count(*) from portal.decision where state <> 'accepted'";
        let live: i64 = sqlx::query_scalar(live).fetch_one(&mut conn).await.unwrap();
        (live == 0).then_some(())
    })
    .await;
    let history = stage.judge().await;
    assert!(history.effects.len() >= done && history.effects.len() == history.rows.len());
    drop(next);
}

/// Ten people, each with five approvals before them.
async fn fill_in_all(stage: &Stage, replica: &crate::harness::Replica) -> Vec<(std::sync::Arc<Person>, Form)> {
    let mut conn = stage.database.connect_superuser().await;
    let found = until("every approval is found", Duration::from_secs(60), async || {
        let ids: Vec<String> =
            sqlx::query_scalar("select id::text from portal.approval").fetch_all(&mut conn).await.unwrap();
        (ids.len() == MANY).then_some(ids)
    })
    .await;
    let mut forms = Vec::new();
    for (number, approvals) in found.chunks(5).enumerate() {
        let person = std::sync::Arc::new(stage.person(&format!("Person {number}")).await);
        for approval in approvals {
            forms.push((person.clone(), person.fill_in_when_shown(replica, approval, "approved").await));
        }
    }
    forms
}
