//! CodePipeline's message tells the exact deadline, which nothing that can be read does.

use countersign::domain::ids::ApprovalToken;
use countersign::store::approvals::Approval;

use crate::harness::{Hearing, message};

/// The gate of the pipeline `pair` that has no timeout of its own.
async fn unsure_of_deadline(hearing: &Hearing) -> Approval {
    let all = hearing.stage.waiting().await;
    all.into_iter().find(|it| it.gate.action.as_str() == "Security").unwrap()
}

fn deadline(approval: &Approval) -> (String, bool) {
    (approval.expires_at.to_string(), approval.expires_about)
}

#[tokio::test]
async fn a_deadline_told_after_the_request_was_read_replaces_the_one_that_was_worked_out() {
    let hearing = Hearing::start().await;
    hearing.stage.open("pair");
    hearing.stage.sweep().await;
    assert!(unsure_of_deadline(&hearing).await.expires_about);
    let open = hearing.stage.world.open_approvals().into_iter().find(|it| it.action == "Security").unwrap();

    hearing.queue.publish(&message(&open, "2026-11-23T08:01Z").to_string(), false).await;
    hearing.hear().await;
    let told = unsure_of_deadline(&hearing).await;
    assert_eq!(deadline(&told), ("2026-11-23T08:01:00Z".into(), false));

    // Neither a sweep nor a decision's own read takes it away.
    hearing.stage.step(15);
    hearing.stage.sweep().await;
    let read = hearing.stage.reader.refresh(told.id).await.unwrap();
    assert_eq!(deadline(&read), deadline(&told));
    assert_eq!(deadline(&unsure_of_deadline(&hearing).await), deadline(&told));
}

#[tokio::test]
async fn a_deadline_told_before_the_request_was_read_is_kept_for_it() {
    let hearing = Hearing::start().await;
    hearing.stage.open("pair");
    let open = hearing.stage.world.open_approvals().into_iter().find(|it| it.action == "Security").unwrap();
    let hash = ApprovalToken::new(open.token).hash();
    let source = hearing.status().source;
    hearing.stage.watcher.register().await.unwrap();
    hearing.stage.reader.tell_deadline(&source, &hash, "2026-11-23T08:01:00Z".parse().unwrap()).await.unwrap();
    hearing.stage.sweep().await;
    assert_eq!(deadline(&unsure_of_deadline(&hearing).await), ("2026-11-23T08:01:00Z".into(), false));
    let (_, record) = hearing.stage.records().await.into_iter().find(|(_, it)| it["action"] == "Security").unwrap();
    assert_eq!(record["expires_about"], false);
}

#[tokio::test]
async fn a_deadline_is_not_believed_for_another_request_nor_against_the_gates_own_nor_when_it_cannot_be() {
    let hearing = Hearing::start().await;
    hearing.stage.open("pair");
    hearing.stage.sweep().await;
    let before = deadline(&unsure_of_deadline(&hearing).await);
    let mut open = hearing.stage.world.open_approvals().into_iter().find(|it| it.action == "Security").unwrap();
    for expires in ["2020-01-01T00:00Z", "2026-11-21T08:01Z", "2036-01-01T00:00Z"] {
        hearing.queue.send(&message(&open, expires).to_string()).await;
        hearing.hear().await;
        hearing.stage.step(2);
    }
    open.token = "00000000-0000-0000-0000-000000000000".into();
    hearing.queue.send(&message(&open, "2026-11-23T08:01Z").to_string()).await;
    hearing.hear().await;
    assert_eq!(deadline(&unsure_of_deadline(&hearing).await), before);

    let shop = hearing.stage.open("shop");
    hearing.queue.send(&message(&shop, "2026-11-23T08:01Z").to_string()).await;
    hearing.hear().await;
    let all = hearing.stage.waiting().await;
    let shop = all.iter().find(|it| it.gate.pipeline.as_str() == "shop").unwrap();
    assert_eq!(shop.expires_at.duration_since(shop.opened_at).as_mins(), 60, "the gate's own, to the second");
}

#[tokio::test]
async fn a_flood_of_deadlines_fills_nothing_and_takes_nothing_from_a_request_that_waits() {
    let hearing = Hearing::start().await;
    hearing.stage.open("pair");
    let open = hearing.stage.world.open_approvals().into_iter().find(|it| it.action == "Security").unwrap();
    hearing.queue.send(&message(&open, "2026-11-23T08:01Z").to_string()).await;
    hearing.hear().await;
    let told = deadline(&unsure_of_deadline(&hearing).await);
    assert_eq!(told, ("2026-11-23T08:01:00Z".into(), false));

    let source = hearing.status().source;
    let mut conn = hearing.stage.database.pages.acquire().await.unwrap();
    let flood = "insert into portal.deadline (source, token_hash, expires_at, told_at)
        select $1, sha256(n::text::bytea), timestamptz '2026-11-25 08:00Z', timestamptz '2026-11-21 08:00Z'
        from generate_series(1, 1999) n";
    sqlx::query(flood).bind(source.as_str()).execute(&mut *conn).await.unwrap();
    let expires = "2026-11-24T08:00:00Z".parse().unwrap();
    hearing.stage.reader.tell_deadline(&source, &[7; 32], expires).await.unwrap();
    let count = "select count(*) from portal.deadline";
    let kept: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.unwrap();
    assert_eq!(kept, 2_000, "no more of a source");

    // Until the next day; then what nobody has seen is forgotten.
    hearing.stage.step(25 * 3_600);
    hearing.stage.reader.forget_announced().await.unwrap();
    let kept: i64 = sqlx::query_scalar(count).fetch_one(&mut *conn).await.unwrap();
    assert_eq!(kept, 1);
    hearing.stage.sweep().await;
    assert_eq!(deadline(&unsure_of_deadline(&hearing).await), told);
}
