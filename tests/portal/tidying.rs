//! What is forgotten after its time: each kind by itself, whatever becomes of the others.

use countersign::web::duties::Duties;

use crate::harness::Portal;

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_tidied_keeps_nothing_else_from_being_tidied() {
    let portal = Portal::start().await;
    // The first thing that is tidied cannot be.
    portal.run_sql("alter table portal.decision_key rename to away").await;
    portal
        .run_sql(
            "insert into portal.mailed_link
                (id, secret_hash, account_id, mailed_to, approval_id, fingerprint, mailed_at, opens_until)
            values (gen_random_uuid(), sha256('a'), gen_random_uuid(), 'ana@example.com', gen_random_uuid(), sha256('b'),
                '2026-11-01T00:00:00Z', '2026-11-08T00:00:00Z')",
        )
        .await;
    let duties = Duties::start(&portal.state, portal.replica().await.watcher);
    let mut conn = portal.database.connect_superuser().await;
    let left = "select count(*) from portal.mailed_link";
    while sqlx::query_scalar::<_, i64>(left).fetch_one(&mut conn).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    duties.stop().await;
    portal.run_sql("alter table portal.away rename to decision_key").await;
    portal.finish().await;
}
