//! Who may decide what: by which grant, for whom, and what happens when it is taken away in between (S-32, F-25, F-26, D-11).

use countersign::decisions::DecideError;
use countersign::domain::decision::{State, Verdict};
use countersign::domain::ids::GrantId;
use countersign::domain::people::Approver;
use countersign::simulator::{Act, Fault, FaultKind};
use jiff::SignedDuration;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use crate::stage::Stage;

/// An account's id, for SQL.
fn id(of: &Approver) -> Uuid {
    of.person().account.0
}

async fn end_grant(conn: &mut PgConnection, grant: GrantId) {
    let sql = "update portal.access_grant set until_at = now() where id = $1";
    sqlx::query(sql).bind(grant.0).execute(conn).await.unwrap();
}

async fn run(stage: &Stage, sql: &'static str, binds: &[Uuid]) {
    let mut query = sqlx::query(sql);
    for bind in binds {
        query = query.bind(*bind);
    }
    query.execute(&mut stage.database.connect_superuser().await).await.unwrap();
}

async fn group_of(stage: &Stage, members: &[&Approver]) -> Uuid {
    let group = Uuid::from_u128(0x6_0000);
    let sql = "insert into portal.people_group (id, name, name_key, created_at) values ($1, 'Shop', 'shop', now())";
    run(stage, sql, &[group]).await;
    for member in members {
        let sql = "insert into portal.group_member (id, group_id, account_id, given_by, from_at)
            values (gen_random_uuid(), $1, $2, 'admin', now())";
        run(stage, sql, &[group, id(member)]).await;
    }
    group
}

/// `for_whom` is away for the next days, and `by` stands in.
async fn stand_in(stage: &Stage, for_whom: &Approver, by: &Approver) -> Uuid {
    let id_of_it = Uuid::from_u128(0x5_0000);
    let sql = "insert into portal.stand_in (id, for_account, by_account, from_at, until_at, made_at)
        values ($1, $2, $3, '2026-11-20T00:00:00Z', '2026-11-27T18:00:00Z', '2026-11-20T00:00:00Z')";
    run(stage, sql, &[id_of_it, id(for_whom), id(by)]).await;
    id_of_it
}

fn why(refused: &DecideError) -> &str {
    match refused {
        DecideError::NotAllowed(why) => why,
        other => panic!("{other:?}"),
    }
}

/// S-32: nobody may decide anything until a grant says so.
#[tokio::test]
async fn without_a_grant_that_fits_nothing_is_decided_and_what_is_missing_is_named() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver_without_grant("Ana").await;
    stage.grant(&ana, "decide", "blog").await;
    stage.grant(&ana, "stand_in", "*").await;

    let refused = stage.try_decide(&ana, &approval, Verdict::Approved, "ok").await.unwrap_err();

    let said = why(&refused);
    assert_eq!(said, "No grant lets Ana decide action Release of stage Production of pipeline shop (source default).");
    assert!(stage.sim.receipts().is_empty());
    assert_eq!(stage.count("decision.intended").await, 0);
    let record = stage.last_payload("decision.attempt_refused").await;
    assert_eq!((record["outcome"].as_str(), record["reason"].as_str()), (Some("not_allowed"), Some(said)));
    stage.finish().await;
}

/// S-32: the record tells what the right rested on.
#[tokio::test]
async fn the_record_names_the_grant_its_gates_and_to_whom_it_was_given() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver_without_grant("Ana").await;
    let group = group_of(&stage, &[&ana]).await;
    let grant = stage.insert_grant("decide", ("group_id", group), "sh*", None).await;
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;

    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    let rule = &stage.last_payload("decision.intended").await["rule"];
    assert_eq!(rule["text"], countersign::decisions::RULE);
    assert_eq!(rule["grants"].as_array().unwrap().len(), 1);
    assert_eq!(rule["grants"][0]["grant"], grant.to_string());
    assert_eq!(rule["grants"][0]["gates"], "pipeline sh*");
    assert_eq!(rule["grants"][0]["given_to"], "group Shop");
    assert!(rule.get("stand_in").is_none());
    stage.finish().await;
}

/// S-32, F-25's shape: each thing a right rests on, taken away between intent and send.
#[tokio::test]
async fn a_right_that_is_taken_away_after_the_intent_sends_nothing() {
    let ends: [&'static str; 3] = [
        "update portal.access_grant set until_at = now() where group_id = $1",
        "update portal.group_member set until_at = now() where group_id = $1",
        // The account keeps its role; another pipeline's grant does not help.
        "with e as (update portal.access_grant set until_at = now() where group_id = $1 returning 1)
            insert into portal.access_grant (id, capability, group_id, source, pipeline, stage, action, from_at)
            select gen_random_uuid(), 'decide', $1, '*', 'blog', '*', '*', now() from e",
    ];
    for end in ends {
        let stage = Stage::start().await;
        let approval = stage.waiting("shop").await;
        let ana = stage.approver_without_grant("Ana").await;
        let group = group_of(&stage, &[&ana]).await;
        stage.insert_grant("decide", ("group_id", group), "shop", None).await;
        let intent = stage.intend_and_die(&ana, &approval, Verdict::Approved, "ok").await;
        run(&stage, end, &[group]).await;
        stage.pass(SignedDuration::from_secs(20)).await;
        stage.settle_once().await;

        let ended = stage.answer(intent).await;
        assert_eq!(ended.state, State::Lapsed, "{end}");
        assert!(ended.reason.unwrap().starts_with("No grant lets Ana decide"), "{end}");
        assert!(stage.sim.receipts().is_empty());
        assert_eq!(stage.kinds_of(intent).await, ["decision.intended", "decision.lapsed"]);
        stage.finish().await;
    }
}

/// S-32: one grant ends, another of theirs still fits.
#[tokio::test]
async fn a_right_that_rests_on_something_else_by_then_is_still_a_right() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver_without_grant("Ana").await;
    let first = stage.grant(&ana, "decide", "shop").await;
    let intent = stage.intend_and_die(&ana, &approval, Verdict::Approved, "ok").await;
    end_grant(&mut stage.database.connect_superuser().await, first).await;
    stage.grant(&ana, "decide", "sh?p").await;
    stage.pass(SignedDuration::from_secs(20)).await;
    stage.settle_once().await;
    assert_eq!(stage.answer(intent).await.state, State::Accepted);
    stage.finish().await;
}

/// S-32: the revocation is committed while the decision waits for the same rows. It was first, so it wins.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_commits_first_always_wins() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let ana = stage.approver_without_grant("Ana").await;
    let grant = stage.grant(&ana, "decide", "*").await;
    let mut conn = stage.database.connect_superuser().await;
    let mut revoking = conn.begin().await.unwrap();
    end_grant(&mut revoking, grant).await;
    let form = stage.form(&approval, Verdict::Approved, "ok");
    let (decided, ()) = tokio::join!(stage.decisions.decide(&ana, form), async {
        stage.until_somebody_waits_for_a_lock().await;
        revoking.commit().await.unwrap();
    });

    assert!(why(&decided.unwrap_err()).starts_with("No grant lets Ana decide"));
    assert!(stage.sim.receipts().is_empty());
    assert_eq!(stage.count("decision.intended").await, 0);
    stage.finish().await;
}

/// Nobody else's rows are locked: what others are given or lose meanwhile holds up no decision.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_somebody_elses_rights_holds_up_nobody() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let (ana, bo) = (stage.approver("Ana").await, stage.approver_without_grant("Bo").await);
    let of_bo = stage.grant(&bo, "decide", "*").await;
    let mut conn = stage.database.connect_superuser().await;
    let mut changing = conn.begin().await.unwrap();
    end_grant(&mut changing, of_bo).await;
    sqlx::query("update portal.account set roles = '{}' where id = $1")
        .bind(id(&bo))
        .execute(&mut *changing)
        .await
        .unwrap();
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    changing.rollback().await.unwrap();
    stage.finish().await;
}

/// A stand-in decides in somebody's place, and everybody can see for whom.
#[tokio::test]
async fn a_stand_in_decides_for_somebody_and_the_record_says_for_whom_and_until_when() {
    let stage = Stage::start().await;
    let approval = stage.waiting("shop").await;
    let (lee, sam) = (stage.approver_without_grant("Lee").await, stage.approver_without_grant("Sam").await);
    stage.grant(&lee, "decide", "shop").await;
    stage.grant(&sam, "stand_in", "*").await;
    let refused = stage.try_decide(&sam, &approval, Verdict::Approved, "ok").await.unwrap_err();
    assert!(why(&refused).starts_with("No grant lets Sam decide"), "nobody has named them yet");
    stand_in(&stage, &lee, &sam).await;
    let decision = stage.decide(&sam, &approval, Verdict::Approved, "ok").await;

    let view = stage.answer(decision).await;
    assert_eq!(
        (view.state, view.person_name.as_str(), view.for_name.as_deref()),
        (State::Accepted, "Sam", Some("Lee"))
    );
    let record = stage.last_payload("decision.intended").await;
    assert_eq!(record["name"], "Sam");
    assert_eq!(record["rule"]["stand_in"]["for"], id(&lee).to_string());
    assert_eq!(record["rule"]["stand_in"]["for_name"], "Lee");
    assert_eq!(record["rule"]["stand_in"]["until"], "2026-11-27T18:00:00Z");
    assert_eq!(record["rule"]["grants"].as_array().unwrap().len(), 2, "{record}");
    assert!(stage.sim.effects()[0].summary.contains("[Sam, rec "), "AWS is told who decided");
    stage.finish().await;
}

/// Whatever a stand-in's right rests on may be taken away between intent and send.
#[tokio::test]
async fn a_stand_in_whose_right_ends_after_the_intent_sends_nothing() {
    let ends: [&'static str; 5] = [
        "update portal.stand_in set ended_at = now() where for_account = $1 and by_account = $2",
        "update portal.account set disabled_at = now() where id = $1 and id <> $2",
        "update portal.account set roles = '{auditor}' where id = $1 and id <> $2",
        "update portal.access_grant set until_at = now() where account_id = $1 and account_id <> $2",
        "update portal.access_grant set until_at = now() where account_id = $2 and account_id <> $1",
    ];
    for end in ends {
        let stage = Stage::start().await;
        let approval = stage.waiting("shop").await;
        let (lee, sam) = (stage.approver_without_grant("Lee").await, stage.approver_without_grant("Sam").await);
        stage.grant(&lee, "decide", "shop").await;
        stage.grant(&sam, "stand_in", "sh*").await;
        stand_in(&stage, &lee, &sam).await;
        let intent = stage.intend_and_die(&sam, &approval, Verdict::Approved, "ok").await;
        run(&stage, end, &[id(&lee), id(&sam)]).await;
        stage.pass(SignedDuration::from_secs(20)).await;
        stage.settle_once().await;

        let ended = stage.answer(intent).await;
        assert_eq!(ended.state, State::Lapsed, "{end}");
        assert!(ended.reason.unwrap().contains("no longer stands in"), "{end}");
        assert!(stage.sim.receipts().is_empty());
        stage.finish().await;
    }
}

/// A stand-in's time is over: nothing has to end it.
#[tokio::test]
async fn a_stand_in_ends_by_itself() {
    let stage = Stage::start().await;
    let (lee, sam) = (stage.approver_without_grant("Lee").await, stage.approver_without_grant("Sam").await);
    stage.grant(&lee, "decide", "*").await;
    stage.grant(&sam, "stand_in", "*").await;
    stand_in(&stage, &lee, &sam).await;
    stage.pass(SignedDuration::from_hours(24 * 7)).await;
    let approval = stage.waiting("blog").await;
    let refused = stage.try_decide(&sam, &approval, Verdict::Approved, "ok").await.unwrap_err();
    assert!(why(&refused).starts_with("No grant lets Sam decide"), "{refused}");
    stage.finish().await;
}

fn tag(stage: &Stage, value: &str) {
    let tags = [("team".to_owned(), value.to_owned())].into();
    stage.world.act(Act::Tag { pipeline: "shop".into(), tags }).unwrap();
}

/// A grant by tag: the tags are read at AWS at the moment of the decision, and only then.
#[tokio::test]
async fn a_grant_about_tags_is_judged_by_what_aws_says_now() {
    let stage = Stage::start().await;
    tag(&stage, "shop");
    let approval = stage.waiting("shop").await;
    let (ana, bo) = (stage.approver_without_grant("Ana").await, stage.approver("Bo").await);
    stage.insert_grant("decide", ("account_id", id(&ana)), "*", Some(("team", "shop"))).await;
    tag(&stage, "blog");
    let refused = stage.try_decide(&ana, &approval, Verdict::Approved, "ok").await.unwrap_err();
    assert!(why(&refused).starts_with("No grant lets Ana decide"), "{refused}");
    assert_eq!(stage.sim.count("ListTagsForResource"), 1);
    tag(&stage, "shop");
    let decision = stage.decide(&ana, &approval, Verdict::Approved, "ok").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    let record = stage.last_payload("decision.intended").await;
    assert_eq!(record["rule"]["grants"][0]["gates"], "tag team = shop");
    let other = stage.waiting("blog").await;
    let asked = stage.sim.count("ListTagsForResource");
    let decision = stage.decide(&bo, &other, Verdict::Rejected, "no").await;
    assert_eq!(stage.answer(decision).await.state, State::Accepted);
    assert_eq!(stage.sim.count("ListTagsForResource"), asked, "nobody asks where nothing hangs on it");
    stage.finish().await;
}

/// What cannot be read lets nobody in, and the reason is told.
#[tokio::test]
async fn tags_that_cannot_be_read_let_nobody_in() {
    let stage = Stage::start().await;
    tag(&stage, "shop");
    let approval = stage.waiting("shop").await;
    let ana = stage.approver_without_grant("Ana").await;
    stage.insert_grant("decide", ("account_id", id(&ana)), "*", Some(("team", "shop"))).await;
    stage.sim.add_fault(Fault::on("ListTagsForResource", FaultKind::Denied));
    let refused = stage.try_decide(&ana, &approval, Verdict::Approved, "ok").await.unwrap_err();
    let said = why(&refused);
    assert!(said.contains("they cannot be read") && said.contains("Allow codepipeline:ListTagsForResource"), "{said}");
    assert!(stage.sim.receipts().is_empty());
    stage.finish().await;
}

/// The tags change between intent and send.
#[tokio::test]
async fn tags_that_change_after_the_intent_send_nothing() {
    let stage = Stage::start().await;
    tag(&stage, "shop");
    let approval = stage.waiting("shop").await;
    let ana = stage.approver_without_grant("Ana").await;
    stage.insert_grant("decide", ("account_id", id(&ana)), "*", Some(("team", "sh*"))).await;
    let intent = stage.intend_and_die(&ana, &approval, Verdict::Approved, "ok").await;
    tag(&stage, "blog");
    stage.pass(SignedDuration::from_secs(20)).await;
    stage.settle_once().await;
    let ended = stage.answer(intent).await;
    assert_eq!(ended.state, State::Lapsed);
    assert!(ended.reason.unwrap().starts_with("No grant lets Ana decide"));
    assert!(stage.sim.receipts().is_empty());
    stage.finish().await;
}
