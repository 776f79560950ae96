//! What nobody decides, at gates where an admin chose that the portal rejects it then: when it does, when it does not, and that
//! it is one act whoever else acts in the same second.

use countersign::accounts::By;
use countersign::decisions::{DecideError, Decisions, UNATTENDED_RULE};
use countersign::domain::access::{GateFields, OptionKind};
use countersign::domain::approval::Standing;
use countersign::domain::decision::{State, Verdict};
use countersign::domain::ids::{DecisionId, GateOptionId};
use countersign::simulator::{Act, Fault, FaultKind};
use jiff::SignedDuration;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::stage::Stage;

const PUT: &str = "PutApprovalResult";
/// The lock of all marks and options together.
const OPTIONS: i64 = 0x0063_6f75_6e74_6d6b;

fn mins(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

impl Stage {
    /// From now on the portal rejects what nobody decides at the gates of these pipelines.
    async fn reject_after(&self, minutes: i32, pipeline: &str) -> GateOptionId {
        self.reject_after_where(minutes, GateFields { pipeline: pipeline.into(), ..GateFields::default() }).await
    }

    async fn reject_after_where(&self, minutes: i32, gates: GateFields) -> GateOptionId {
        let (access, minutes) = (self.access(), minutes.to_string());
        let chosen = access.check_option(OptionKind::RejectUnattended, &gates, &minutes, "As before").unwrap().unwrap();
        access.set_option(&By::Operator, &chosen).await.unwrap()
    }

    async fn end(&self, option: GateOptionId) {
        self.access().end_option(&By::Operator, option).await.unwrap();
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::query(sql).execute(&mut self.database.connect_superuser().await).await.unwrap();
    }

    /// One pass of the duty; how many it rejected.
    async fn pass_by(&self) -> usize {
        let rejected = self.decisions.reject_unattended().await.unwrap();
        self.quiet().await;
        rejected
    }

    async fn only_decision(&self) -> DecisionId {
        let ids: Vec<Uuid> = sqlx::query_scalar("select id from portal.decision")
            .fetch_all(&mut self.database.connect_superuser().await)
            .await
            .unwrap();
        assert_eq!(ids.len(), 1, "{ids:?}");
        DecisionId(ids[0])
    }

    /// The portal rejects in a process that ends before it sends.
    async fn reject_and_die(&self) {
        let dying = self.dying();
        let end = move || {
            // As for a person: what was spawned last is never looked at.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            assert_eq!(runtime.block_on(async { dying.await.reject_unattended().await.unwrap() }), 1);
        };
        tokio::task::spawn_blocking(end).await.unwrap();
        assert!(self.sim.receipts().is_empty());
    }

    fn nothing_was_sent(&self) {
        assert!(self.sim.receipts().is_empty(), "{:?}", self.sim.receipts());
    }
}

#[tokio::test]
async fn unless_an_admin_chose_it_nothing_is_rejected_however_long_it_waits() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    stage.reject_after(5, "blog").await;
    for _ in 0..11 {
        stage.pass(mins(5)).await;
        assert_eq!(stage.pass_by().await, 0);
    }
    assert_eq!(stage.standing(&approval).await, Standing::Open);
    assert_eq!(stage.count("decision.intended").await, 0);
    stage.nothing_was_sent();
    stage.finish().await;
}

#[tokio::test]
async fn what_nobody_decided_is_rejected_when_its_time_is_over_and_the_record_says_by_which_rule() {
    for pipeline in ["shop", "queue", "swarm"] {
        let stage = Stage::start().await;
        let adam = stage.approver_without_grant("Adam Berg").await;
        let option = stage.reject_after(30, pipeline).await;
        let sql = "update portal.gate_option set given_by = $1";
        let mut conn = stage.database.connect_superuser().await;
        sqlx::query(sql).bind(adam.person().account.0).execute(&mut conn).await.unwrap();
        let approval = stage.waiting(pipeline).await;
        let due = approval.opened_at + mins(30);
        stage.pass(mins(29)).await;
        assert_eq!(stage.pass_by().await, 0, "{pipeline}");
        stage.pass(mins(1)).await;
        assert_eq!(stage.pass_by().await, 1, "{pipeline}");

        let view = stage.answer(stage.only_decision().await).await;
        assert_eq!((view.state, view.verdict), (State::Accepted, Verdict::Rejected));
        assert!(view.is_by_rule);
        assert_eq!(view.person_name, "Countersign (rule)");
        assert_eq!(stage.standing(&approval).await, Standing::Rejected);
        let told = &stage.sim.effects()[0].summary;
        let words = "Rejected by Countersign: nobody decided within 30 minutes (rule of Adam Berg, 2026-11-21)";
        assert!(told.starts_with(&format!("{words} [Countersign (rule), rec ")), "{told}");

        let record = stage.last_payload("decision.intended").await;
        assert_eq!((&record["channel"], &record["verdict"]), (&"rule".into(), &"rejected".into()));
        assert_eq!((&record["name"], &record["summary"]), (&"Countersign (rule)".into(), &words.into()));
        assert!(record.get("person").is_none() && record.get("email").is_none(), "{record}");
        let rule = &record["rule"];
        assert_eq!((&rule["text"], &rule["option"]), (&UNATTENDED_RULE.into(), &option.to_string().into()));
        assert_eq!((&rule["minutes"], &rule["given_by"]), (&30.into(), &"Adam Berg".into()));
        assert_eq!(rule["note"], "As before");
        assert_eq!(rule["opened_at"], approval.opened_at.to_string());
        assert_eq!(rule["due_at"], due.to_string());
        assert_eq!(record["fingerprint"], approval.fingerprint.hex());
        let actors: Vec<String> = sqlx::query_scalar("select actor from audit.record where kind like 'decision.%'")
            .fetch_all(&mut conn)
            .await
            .unwrap();
        assert_eq!(actors, ["system", "system", "system"]);
        assert!(stage.last_payload("decision.accepted").await.get("person").is_none());
        assert_eq!(stage.pass_by().await, 0, "once");
        stage.finish().await;
    }
}

#[tokio::test]
async fn what_opened_before_the_rule_was_given_has_its_minutes_from_then() {
    let stage = Stage::start().await;
    stage.waiting("shop").await;
    stage.pass(mins(40)).await;
    stage.reject_after(10, "shop").await;
    for _ in 0..9 {
        assert_eq!(stage.pass_by().await, 0, "nothing is rejected at once by a click");
        stage.pass(mins(1)).await;
    }
    stage.pass(mins(1)).await;
    assert_eq!(stage.pass_by().await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn of_two_rules_the_one_that_leaves_more_time_counts_and_ending_it_rejects_nothing_at_once() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    let longer = stage.reject_after(40, "sh*").await;
    stage.waiting("shop").await;
    stage.pass(mins(30)).await;
    assert_eq!(stage.pass_by().await, 0);
    stage.end(longer).await;
    assert_eq!(stage.pass_by().await, 0);
    stage.pass(mins(10)).await;
    assert_eq!(stage.pass_by().await, 1);
    assert_eq!(stage.last_payload("decision.intended").await["rule"]["minutes"], 10);
    stage.finish().await;
}

#[tokio::test]
async fn where_somebody_has_decided_or_is_about_to_the_rule_does_nothing() {
    let stage = Stage::start().await;
    stage.reject_after(10, "*").await;
    let ana = stage.approver("Ana").await;
    // Decided.
    let shop = stage.waiting("shop").await;
    let decision = stage.decide(&ana, &shop, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    // Not known yet.
    let blog = stage.waiting("blog").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied: true }).times(1));
    let unsure = stage.decide(&ana, &blog, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(unsure).await.state, State::Unsure);
    // To be sent again.
    let queue = stage.waiting("queue").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Throttle).times(1));
    let again = stage.decide(&ana, &queue, Verdict::Rejected, "no").await;
    assert_eq!(stage.answer(again).await.state, State::Intent);
    stage.pass(mins(20)).await;

    assert_eq!(stage.pass_by().await, 0);
    assert_eq!(stage.count("decision.intended").await, 3);
    stage.settle_for(secs(90)).await;
    assert_eq!(stage.answer(unsure).await.state, State::Accepted);
    assert_eq!(stage.answer(again).await.state, State::Accepted);
    stage.finish().await;
}

#[tokio::test]
async fn a_decision_that_came_to_nothing_gives_people_the_minutes_again() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver("Ana").await;
    stage.pass(mins(9)).await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Denied).times(1));
    let refused = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(refused).await.state, State::Refused);
    stage.pass(mins(9)).await;
    assert_eq!(stage.pass_by().await, 0);
    stage.pass(mins(1)).await;
    assert_eq!(stage.pass_by().await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn what_aws_refuses_the_rule_is_not_tried_again_and_again() {
    let stage = Stage::start().await;
    stage.reject_after(5, "shop").await;
    let approval = stage.waiting("shop").await;
    stage.sim.add_fault(Fault::on(PUT, FaultKind::Denied));
    stage.pass(mins(5)).await;
    assert_eq!(stage.pass_by().await, 1);
    for _ in 0..10 {
        stage.pass(mins(5)).await;
        assert_eq!(stage.pass_by().await, 0);
    }
    assert_eq!(stage.answer(stage.only_decision().await).await.state, State::Refused);
    assert_eq!(stage.standing(&approval).await, Standing::Open, "people can still decide it");
    assert_eq!(stage.sim.receipts().len(), 1);
    stage.finish().await;
}

/// One wins, and the other is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_and_the_rule_in_the_same_second_are_one_decision() {
    for _ in 0..4 {
        let stage = Stage::start().await;
        stage.reject_after(10, "shop").await;
        let approval = stage.waiting("shop").await;
        let (ana, replica) = (stage.approver("Ana").await, stage.replica().await);
        stage.pass(mins(10)).await;
        let form = stage.form(&approval, Verdict::Approved, "ok");
        let (decided, rejected) = tokio::join!(replica.decide(&ana, form), stage.decisions.reject_unattended());
        let rejected = rejected.unwrap();
        replica.quiet().await;
        stage.quiet().await;
        match decided {
            Ok(decision) => {
                assert_eq!(rejected, 0);
                assert_eq!(stage.answer_anywhere(&replica, decision).await.state, State::Accepted);
            }
            Err(DecideError::AlreadyDeciding { by, verdict, .. }) => {
                assert_eq!((by.as_str(), verdict, rejected), ("Countersign (rule)", Verdict::Rejected, 1));
            }
            Err(other) => panic!("{other:?}"),
        }
        assert_eq!(stage.count("decision.intended").await, 1);
        assert_eq!((stage.sim.receipts().len(), stage.sim.effects().len()), (1, 1));
        stage.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_replicas_reject_once() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    stage.waiting("shop").await;
    let (first, second): (Decisions, Decisions) = (stage.replica().await, stage.replica().await);
    stage.pass(mins(11)).await;
    let (a, b, c) =
        tokio::join!(first.reject_unattended(), second.reject_unattended(), stage.decisions.reject_unattended());
    for replica in [&first, &second] {
        replica.quiet().await;
    }
    stage.quiet().await;
    assert_eq!(a.unwrap() + b.unwrap() + c.unwrap(), 1);
    assert_eq!((stage.count("decision.intended").await, stage.sim.receipts().len()), (1, 1));
    stage.finish().await;
}

/// Holds what an admin holds who ends every option just now, up to the commit.
async fn ending(conn: &mut PgConnection) -> sqlx::Transaction<'_, sqlx::Postgres> {
    let mut ending = conn.begin().await.unwrap();
    sqlx::query("select pg_advisory_xact_lock($1)").bind(OPTIONS).execute(&mut *ending).await.unwrap();
    let sql = "update portal.gate_option set until_at = from_at";
    sqlx::query(sql).execute(&mut *ending).await.unwrap();
    ending
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_ended_while_it_is_acted_upon_rejects_nothing() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    let approval = stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    let mut conn = stage.database.connect_superuser().await;
    let ending = ending(&mut conn).await;
    let (rejected, ()) = tokio::join!(stage.decisions.reject_unattended(), async {
        stage.until_somebody_waits_for_a_lock().await;
        ending.commit().await.unwrap();
    });
    assert_eq!(rejected.unwrap(), 0);
    assert_eq!(stage.count("decision.intended").await, 0);
    assert_eq!(stage.standing(&approval).await, Standing::Open);
    stage.nothing_was_sent();
    stage.finish().await;
}

/// kill -9 after the intent; and the rule ends before another process sends it.
#[tokio::test]
async fn a_rule_that_is_ended_between_intent_and_send_sends_nothing() {
    let stage = Stage::start().await;
    let option = stage.reject_after(10, "shop").await;
    let approval = stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    stage.reject_and_die().await;
    stage.end(option).await;
    stage.pass(secs(20)).await;
    stage.settle_once().await;
    let decision = stage.answer(stage.only_decision().await).await;
    assert_eq!(decision.state, State::Lapsed);
    assert!(decision.reason.unwrap().starts_with("The rule under which the portal was to reject it has ended"));
    assert_eq!(stage.standing(&approval).await, Standing::Open);
    stage.nothing_was_sent();
    stage.finish().await;
}

/// kill -9 after the intent.
#[tokio::test]
async fn a_rejection_whose_process_died_before_it_sent_is_sent_once_by_another() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    stage.reject_and_die().await;
    assert_eq!(stage.pass_by().await, 0, "it is under way");
    stage.pass(secs(20)).await;
    stage.settle_once().await;
    assert_eq!(stage.answer(stage.only_decision().await).await.state, State::Accepted);
    assert_eq!(stage.sim.receipts().len(), 1);
    stage.finish().await;
}

/// kill -9 between the send and its answer.
#[tokio::test]
async fn a_rejection_whose_answer_was_lost_is_settled_by_reading_back() {
    for applied in [true, false] {
        let stage = Stage::start().await;
        stage.reject_after(10, "shop").await;
        stage.waiting("shop").await;
        stage.pass(mins(10)).await;
        stage.sim.add_fault(Fault::on(PUT, FaultKind::Reset { applied }).times(1));
        assert_eq!(stage.pass_by().await, 1);
        let decision = stage.only_decision().await;
        assert_eq!(stage.answer(decision).await.state, State::Unsure);
        assert_eq!(stage.pass_by().await, 0, "nothing is sent while it is not known");
        stage.settle_for(secs(120)).await;
        assert_eq!(stage.answer(decision).await.state, State::Accepted);
        assert_eq!(stage.effects_of("shop"), 1);
        stage.finish().await;
    }
}

#[tokio::test]
async fn after_a_downtime_it_acts_late_and_tells_both_times() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    let approval = stage.waiting("shop").await;
    stage.pass(mins(45)).await;
    assert_eq!(stage.pass_by().await, 1);
    let rule = stage.last_payload("decision.intended").await["rule"].clone();
    assert_eq!(rule["due_at"], (approval.opened_at + mins(10)).to_string());
    let made = stage.answer(stage.only_decision().await).await.created_at;
    assert!(made >= approval.opened_at + mins(45), "{made}");
    stage.finish().await;
}

#[tokio::test]
async fn what_opened_while_no_portal_ran_has_all_its_minutes_from_when_it_was_found() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    stage.world.open_approval("shop", None).expect("the gate is free");
    stage.pass(mins(45)).await;
    stage.watch().await;
    let approval = stage.open_approvals().await.pop().unwrap();
    assert!(approval.found_at >= approval.opened_at + mins(45), "nobody could have decided it here before");
    assert_eq!(stage.pass_by().await, 0);
    stage.pass(mins(9)).await;
    assert_eq!(stage.pass_by().await, 0);
    stage.nothing_was_sent();
    stage.pass(mins(1)).await;
    assert_eq!(stage.pass_by().await, 1);
    let rule = stage.last_payload("decision.intended").await["rule"].clone();
    assert_eq!(rule["found_at"], approval.found_at.to_string());
    assert_eq!(rule["due_at"], (approval.found_at + mins(10)).to_string());
    stage.finish().await;
}

#[tokio::test]
async fn what_was_decided_in_the_console_meanwhile_is_left_alone() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    let approval = stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    // The portal has not seen it yet: its row is still open.
    stage.decide_in_console(&approval, Verdict::Approved, "Go");
    assert_eq!(stage.pass_by().await, 0);
    assert_eq!(stage.standing(&approval).await, Standing::Approved);
    assert_eq!(stage.count("decision.intended").await, 0);
    stage.nothing_was_sent();
    stage.finish().await;
}

#[tokio::test]
async fn while_aws_cannot_be_read_nothing_is_rejected_and_afterwards_it_is() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    stage.world.deny("GetPipelineState", None);
    assert_eq!(stage.pass_by().await, 0);
    stage.nothing_was_sent();
    let asked = stage.sim.count("GetPipelineState");
    assert_eq!(stage.pass_by().await, 0);
    assert_eq!(stage.sim.count("GetPipelineState"), asked, "it is not asked for again and again");
    stage.sim.clear_faults();
    stage.pass(mins(2)).await;
    assert_eq!(stage.pass_by().await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_source_that_is_blind_or_no_longer_configured_has_nothing_rejected() {
    let stage = Stage::start().await;
    stage.reject_after(10, "*").await;
    stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    for (away, back) in [
        ("update portal.source set configured = false", "update portal.source set configured = true"),
        (
            "update portal.source set blind_since = now(), blind_why = 'x'",
            "update portal.source set blind_since = null, blind_why = null",
        ),
        (
            "update portal.pipeline set unreadable_since = now(), unreadable_why = 'x'",
            "update portal.pipeline set unreadable_since = null, unreadable_why = null",
        ),
    ] {
        stage.sql(away).await;
        assert_eq!(stage.pass_by().await, 0, "{away}");
        stage.sql(back).await;
    }
    stage.nothing_was_sent();
    assert_eq!(stage.pass_by().await, 1);
    stage.finish().await;
}

#[tokio::test]
async fn a_rule_about_tags_goes_by_what_aws_says_now() {
    let stage = Stage::start().await;
    let tag = |value: &str| {
        let tags = [("tier".to_owned(), value.to_owned())].into();
        stage.world.act(Act::Tag { pipeline: "shop".into(), tags }).unwrap();
    };
    tag("gold");
    let gates = GateFields { tag_key: "tier".into(), tag_value: "gold".into(), ..GateFields::default() };
    stage.reject_after_where(10, gates).await;
    stage.waiting("shop").await;
    stage.watch().await;
    stage.pass(mins(10)).await;
    // Changed since they were read.
    tag("tin");
    assert_eq!(stage.pass_by().await, 0);
    stage.pass(mins(11)).await;
    stage.watch().await;
    tag("gold");
    stage.pass(mins(11)).await;
    stage.watch().await;
    stage.world.deny("ListTagsForResource", None);
    assert_eq!(stage.pass_by().await, 0, "what cannot be read makes nothing due");
    stage.sim.clear_faults();
    stage.pass(mins(2)).await;
    assert_eq!(stage.pass_by().await, 1);
    stage.finish().await;
}

/// A newer release beside this one gave it.
#[tokio::test]
async fn an_option_that_this_release_does_not_know_is_left_out_and_stops_nothing() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    stage.sql("alter table portal.gate_option drop constraint gate_option_kind").await;
    stage
        .sql(
            "insert into portal.gate_option (id, kind, source, pipeline, stage, action, minutes, from_at)
            values (gen_random_uuid(), 'decide_by_pigeon', '*', '*', '*', '*', 60, now())",
        )
        .await;
    let (known, unknown) = stage.access().list_options().await.unwrap();
    assert_eq!((known.len(), unknown.len()), (1, 1));
    assert_eq!(unknown[0].kind, "decide_by_pigeon");
    stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    assert_eq!(stage.pass_by().await, 1);
    stage.finish().await;
}

/// By the database's own rule, whatever a program does.
#[tokio::test]
async fn the_database_takes_no_approval_by_a_rule_and_no_decision_of_nobodys() {
    let stage = Stage::start().await;
    stage.reject_after(10, "shop").await;
    stage.waiting("shop").await;
    stage.pass(mins(10)).await;
    assert_eq!(stage.pass_by().await, 1);
    let mut conn = stage.database.connect_superuser().await;
    for sql in [
        "update portal.decision set verdict = 'approved'",
        "update portal.decision set channel = 'page'",
        "update portal.decision set gate_option_id = null",
        "update portal.decision set proven = true",
    ] {
        let refused = sqlx::query(sql).execute(&mut conn).await.unwrap_err();
        assert!(refused.to_string().contains("decision_by_rule"), "{sql}: {refused}");
    }
    stage.finish().await;
}
