//! a payload is erased by law, and the chain still verifies.

use countersign::audit::{Broken, Intact, Verdict, Why};
use countersign::database::Role;
use sqlx::{Executor, Row};

use crate::support::postgres::TestDatabase;
use crate::{fill, judge};

#[tokio::test]
async fn an_erased_payload_is_told_by_a_record_and_the_chain_holds() {
    let database = TestDatabase::create().await;
    fill(&database, 5).await;
    let mut owner = database.connect(Role::Owner).await;
    let told = sqlx::query("select o_seq from audit.redact(3, 'Request 17: \"erase\"\nby post')");
    assert_eq!(told.fetch_one(&mut owner).await.unwrap().get::<i64, _>("o_seq"), 6);
    let verdict = judge(&database).await;
    assert!(matches!(&verdict, Verdict::Intact(Intact { rows: 6, redacted, .. }) if redacted == &[3]), "{verdict:?}");

    let left = "select (select count(*) from audit.payload where seq = 3), p.kind, convert_from(p.payload, 'UTF8')
                from audit.payload p where seq = 6";
    let left = sqlx::query(left).fetch_one(&mut owner).await.unwrap();
    assert_eq!((left.get::<i64, _>(0), left.get::<&str, _>(1)), (0, "record.redacted"));
    let why: serde_json::Value = serde_json::from_str(left.get(2)).unwrap();
    assert_eq!(why["redacts"], 3);
    assert_eq!(why["by"], "countersign_owner");
    assert_eq!(why["why"], "Request 17: \"erase\"\nby post");
}

#[tokio::test]
async fn what_cannot_be_erased_is_said() {
    let database = TestDatabase::create().await;
    fill(&database, 2).await;
    let mut owner = database.connect(Role::Owner).await;
    owner.execute("select audit.redact(1, 'law')").await.unwrap();
    let cases = [
        ("select audit.redact(1, 'again')", "does not exist or is erased already"),
        ("select audit.redact(99, 'law')", "does not exist or is erased already"),
        ("select audit.redact(2, ' ')", "say why record 2 is erased"),
        ("select audit.redact(3, 'hide it')", "record 3 tells of an erasure and stays"),
    ];
    for (attempt, why) in cases {
        let said = owner.execute(attempt).await.unwrap_err().to_string();
        assert!(said.contains(why), "{attempt}: {said}");
    }
    assert!(matches!(judge(&database).await, Verdict::Intact(Intact { rows: 3, .. })));
}

#[tokio::test]
async fn an_erasure_without_a_record_is_found() {
    let database = TestDatabase::create().await;
    fill(&database, 3).await;
    let mut dba = database.connect_superuser().await;
    dba.execute("alter table audit.payload disable trigger all; delete from audit.payload where seq = 2")
        .await
        .unwrap();
    assert_eq!(judge(&database).await, Verdict::Broken(Broken { seq: 2, why: Why::MissingPayload }));
    // A record of another erasure does not cover it.
    dba.execute("select audit.redact(1, 'law')").await.unwrap();
    assert_eq!(judge(&database).await, Verdict::Broken(Broken { seq: 2, why: Why::MissingPayload }));
    // Nor may the record that tells of an erasure lose its own payload.
    dba.execute("delete from audit.payload where seq = 4").await.unwrap();
    assert_eq!(judge(&database).await, Verdict::Broken(Broken { seq: 4, why: Why::MissingPayload }));
}
