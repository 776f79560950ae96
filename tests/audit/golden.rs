//! The format, held against vectors that another program made: the SQL function and the Rust code must both
//! give exactly those bytes and hashes.

use countersign::audit::entry::{Entry, Hash, sha256};
use countersign::audit::{Intact, Verdict};
use countersign::database::Role;
use serde::Deserialize;
use sqlx::{Executor, Row};

use crate::judge;
use crate::support::postgres::TestDatabase;

#[derive(Deserialize)]
struct Vector {
    seq: i64,
    at: jiff::Timestamp,
    prev: String,
    kind: String,
    actor: String,
    payload: String,
    payload_hash: String,
    entry: String,
    hash: String,
}

fn vectors() -> Vec<Vector> {
    let lines = include_str!("../data/golden/records.jsonl").lines();
    lines.map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn hash(hex_digits: &str) -> Hash {
    hex::decode(hex_digits).unwrap().try_into().unwrap()
}

#[test]
fn the_vectors_cover_what_they_should() {
    let vectors = vectors();
    assert!(vectors.len() >= 20);
    let any = |test: &dyn Fn(&str) -> bool| vectors.iter().any(|vector| test(&vector.payload));
    assert!(any(&|payload| payload.contains('🚀')));
    assert!(any(&|payload| payload.contains('\u{2028}')));
    assert!(any(&|payload| payload.contains("\"summary\":\"\"")));
    assert!(any(&|payload| payload.len() == 16_384));
}

#[test]
fn the_code_gives_the_golden_bytes() {
    for vector in vectors() {
        let payload_hash = sha256(vector.payload.as_bytes());
        assert_eq!(hex::encode(payload_hash), vector.payload_hash, "record {}", vector.seq);
        let (prev, kind, actor) = (&hash(&vector.prev), vector.kind.as_str(), vector.actor.as_str());
        let entry = Entry { seq: vector.seq, at: vector.at, prev, kind, actor, payload_hash: &payload_hash };
        assert_eq!(String::from_utf8(entry.bytes()).unwrap(), vector.entry);
        assert_eq!(hex::encode(entry.hash()), vector.hash, "record {}", vector.seq);
    }
}

/// The database's clock stands behind the vectors' times, so that each record is timed one microsecond after the head,
/// which a superuser moves to where the next vector needs it.
#[tokio::test]
async fn the_database_gives_the_golden_hashes() {
    let database = TestDatabase::create().await;
    let mut dba = database.connect_superuser().await;
    let mut app = database.connect(Role::App).await;
    dba.execute("alter table audit.head disable trigger all").await.unwrap();
    let vectors = vectors();
    for vector in &vectors {
        let before = jiff_sqlx::Timestamp::from(vector.at - jiff::SignedDuration::from_micros(1));
        sqlx::query("update audit.head set at = $1").bind(before).execute(&mut dba).await.unwrap();
        let row = sqlx::query("select o_seq, o_at, o_hash from audit.append($1, $2, $3)")
            .bind(&vector.kind)
            .bind(&vector.actor)
            .bind(vector.payload.as_bytes())
            .fetch_one(&mut app)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>("o_seq"), vector.seq);
        assert_eq!(row.get::<jiff_sqlx::Timestamp, _>("o_at").to_jiff(), vector.at);
        assert_eq!(hex::encode(row.get::<Vec<u8>, _>("o_hash")), vector.hash, "record {}", vector.seq);
    }
    let verdict = judge(&database).await;
    let last = vectors.last().unwrap();
    let whole = matches!(&verdict, Verdict::Intact(Intact { rows, head, .. }) if *rows == last.seq && *head == hash(&last.hash));
    assert!(whole, "{verdict:?}");
}
