//! Appending: numbers, times and hashes, and what is refused.

use countersign::audit::entry::GENESIS;
use countersign::audit::{AppendError, Intact, Kind, Payload, Verdict, append};
use countersign::database::Role;
use countersign::random::Random;
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use crate::support::postgres::TestDatabase;
use crate::{decision, fill, judge};

#[tokio::test]
async fn a_record_is_numbered_and_chained_and_its_members_can_be_searched() {
    let database = TestDatabase::create().await;
    let person = "0190cafe-0000-7000-8000-000000000001";
    let fields = json!({"pipeline": "orders", "person": person, "verdict": "approved", "summary": "ok"});
    let payload = Payload::new(&Random::system(), &fields).unwrap();
    let mut conn = database.connect(Role::App).await;
    let first = append(&mut conn, Kind::DecisionIntended, person, &payload).await.unwrap();
    let second = append(&mut conn, Kind::DecisionSent, "system", &payload).await.unwrap();
    assert_eq!((first.seq, second.seq), (1, 2));
    assert!(first.at < second.at);
    assert_eq!(first.receipt(), &hex::encode(first.hash)[..16]);

    let found = sqlx::query(
        "select r.prev, r.hash, p.payload, p.kind, p.person::text, p.verdict, p.stage
         from audit.record r join audit.payload p using (seq) where p.pipeline = 'orders' order by seq",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].get::<Vec<u8>, _>("prev"), GENESIS);
    assert_eq!(found[1].get::<Vec<u8>, _>("prev"), first.hash);
    assert_eq!(found[0].get::<Vec<u8>, _>("payload"), payload.as_bytes());
    assert_eq!(found[0].get::<&str, _>("kind"), "decision.intended");
    assert_eq!(found[0].get::<&str, _>("person"), person);
    assert_eq!(found[0].get::<&str, _>("verdict"), "approved");
    assert_eq!(found[0].get::<Option<&str>, _>("stage"), None);
    assert_eq!(
        judge(&database).await,
        Verdict::Intact(Intact { rows: 2, head: second.hash, clock_held: 0, redacted: vec![] })
    );
}

#[tokio::test]
async fn an_empty_log_is_intact() {
    let database = TestDatabase::create().await;
    let nothing = Intact { rows: 0, head: GENESIS, clock_held: 0, redacted: vec![] };
    assert_eq!(judge(&database).await, Verdict::Intact(nothing));
}

/// a sequence would have burnt the number.
#[tokio::test]
async fn a_rolled_back_record_leaves_no_gap() {
    let database = TestDatabase::create().await;
    let mut conn = database.connect(Role::App).await;
    let mut tx = conn.begin().await.unwrap();
    let lost = append(&mut tx, Kind::SessionStarted, "system", &decision(&Random::system(), 1)).await.unwrap();
    tx.rollback().await.unwrap();
    let kept = append(&mut conn, Kind::SessionEnded, "system", &decision(&Random::system(), 2)).await.unwrap();
    assert_eq!((lost.seq, kept.seq), (1, 1));
    assert!(matches!(judge(&database).await, Verdict::Intact(Intact { rows: 1, .. })));
}

/// sixteen writers on two pools of a process each would have; one chain, and time never runs backwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sixteen_writers_make_one_chain() {
    const EACH: u32 = 40;
    let database = TestDatabase::create().await;
    let replicas = [database.open(), database.open()];
    let writers = (0..16_u32).map(|writer| {
        let pool = replicas[writer as usize % 2].pages.clone();
        tokio::spawn(async move {
            let random = Random::system();
            for number in 0..EACH {
                let mut tx = pool.begin().await.unwrap();
                append(&mut tx, Kind::DecisionIntended, "system", &decision(&random, number)).await.unwrap();
                // Every fifth changes its mind after it was numbered.
                if number % 5 == 0 { tx.rollback().await.unwrap() } else { tx.commit().await.unwrap() }
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let kept = i64::from(16 * (EACH - EACH / 5));
    assert!(matches!(judge(&database).await, Verdict::Intact(Intact { rows, .. }) if rows == kept));
    let mut conn = database.connect(Role::Reader).await;
    let backwards: i64 = sqlx::query_scalar(
        "select count(*) from (select at <= lag(at) over (order by seq) as back from audit.record) r where back",
    )
    .fetch_one(&mut conn)
    .await
    .unwrap();
    assert_eq!(backwards, 0);
}

/// the flag is the exact microsecond, and is hashed with the rest.
#[tokio::test]
async fn a_clock_that_moved_back_is_held_and_flagged() {
    let database = TestDatabase::create().await;
    fill(&database, 1).await;
    let mut dba = database.connect_superuser().await;
    dba.execute(
        "alter table audit.head disable trigger all; alter table audit.record disable trigger all;
         delete from audit.record; delete from audit.head;
         insert into audit.head values (1, 0, '2126-01-01', decode(repeat('00', 32), 'hex'));
         alter table audit.payload disable trigger all; delete from audit.payload",
    )
    .await
    .unwrap();
    let held = fill(&database, 3).await;
    assert_eq!(held[0].at.to_string(), "2126-01-01T00:00:00.000001Z");
    assert_eq!(held[2].at.to_string(), "2126-01-01T00:00:00.000003Z");
    let verdict = judge(&database).await;
    // The first has nothing before it to be compared with.
    assert!(matches!(verdict, Verdict::Intact(Intact { rows: 3, clock_held: 2, .. })), "{verdict:?}");
}

/// the function checks for itself; the portal's own check is not trusted.
#[tokio::test]
async fn the_database_refuses_what_is_no_record() {
    let database = TestDatabase::create().await;
    let mut conn = database.connect(Role::App).await;
    let salt = "\"salt\":\"000102030405060708090a0b0c0d0e0f\"";
    let cases: &[(&str, &str, String, &str)] = &[
        ("Decision", "a", format!("{{{salt}}}"), "kind"),
        ("k", "ä", format!("{{{salt}}}"), "actor"),
        ("k", "", format!("{{{salt}}}"), "actor"),
        ("k", "two\nlines", format!("{{{salt}}}"), "actor"),
        ("k", "a", format!("{{{salt},\n\"x\":1}}"), "one line"),
        ("k", "a", format!("{{{salt},\"x\":\"{}\"}}", "x".repeat(16_384)), "one line of at most 16384"),
        ("k", "a", "not json".to_owned(), "not JSON"),
        ("k", "a", format!("{{{salt},\"x\":\"\\u0000\"}}"), "not JSON"),
        ("k", "a", "[1]".to_owned(), "not an object"),
        ("k", "a", format!("{{{salt},\"x\":1,\"x\":2}}"), "distinct members"),
        ("k", "a", "{}".to_owned(), "no salt"),
        ("k", "a", "{\"salt\":\"short\"}".to_owned(), "no salt"),
        ("k", "a", format!("{{{salt},\"pipeline\":7}}"), "pipeline is not a short string"),
        ("k", "a", format!("{{{salt},\"stage\":\"{}\"}}", "s".repeat(513)), "stage is not a short string"),
        ("k", "a", format!("{{{salt},\"person\":\"somebody\"}}"), "person is not a UUID"),
        ("k", "a", format!("{{{salt},\"person\":\"0190CAFE-0000-7000-8000-000000000001\"}}"), "person is not a UUID"),
    ];
    for (kind, actor, payload, why) in cases {
        let refused = sqlx::query("select audit.append($1, $2, $3)").bind(kind).bind(actor).bind(payload.as_bytes());
        let error = refused.execute(&mut conn).await.unwrap_err();
        let said = error.as_database_error().unwrap();
        assert_eq!(said.code().as_deref(), Some("22023"), "{said}");
        assert!(said.message().starts_with("bad record: ") && said.message().contains(why), "{why}: {said}");
    }
    let not_utf8 = sqlx::query("select audit.append('k', 'a', '\\xff')").execute(&mut conn).await.unwrap_err();
    assert!(not_utf8.to_string().contains("not JSON in UTF-8"), "{not_utf8}");
    let payload = Payload::new(&Random::system(), &json!({})).unwrap();
    let error = append(&mut conn, Kind::SettingsChanged, "Ana Lévy", &payload).await.unwrap_err();
    assert!(matches!(&error, AppendError::Refused(why) if why.contains("actor")), "{error}");
    assert!(matches!(judge(&database).await, Verdict::Intact(Intact { rows: 0, .. })));
}

/// what the serving role and the reader are refused, one statement each.
#[tokio::test]
async fn nobody_who_serves_or_reads_can_do_anything_but_append() {
    let database = TestDatabase::create().await;
    let before = fill(&database, 2).await;
    let attacks = [
        "update audit.record set actor = 'x'",
        "update audit.payload set verdict = 'approved'",
        "update audit.head set seq = 0",
        "delete from audit.record",
        "delete from audit.payload",
        "delete from audit.head",
        "truncate audit.record",
        "truncate audit.payload, audit.head",
        "insert into audit.record select seq + 2, at, prev, kind, actor, payload_hash, hash from audit.record",
        "insert into audit.payload (seq, payload, kind) values (9, '', '')",
        "insert into audit.head select * from audit.head on conflict (one) do update set seq = 0",
        "select * from audit.record for update",
        "select audit.redact(1, 'because')",
        "alter table audit.record disable trigger all",
        "alter table audit.record disable trigger record_stays",
        "drop trigger record_stays on audit.record",
        "drop table audit.record",
        "drop schema audit cascade",
        "alter function audit.append(text, text, bytea) security invoker",
        "create or replace function audit.append(kind text, actor text, payload bytea)
             returns table (o_seq bigint, o_at timestamptz, o_hash bytea) language sql as 'select 1, now(), null'",
        "create table audit.mine (a int)",
        "create table public.mine (a int)",
        "create schema mine",
        "create rule r as on insert to audit.record do instead nothing",
        "set session_replication_role = replica",
        "set role countersign_owner",
        "set session authorization countersign_owner",
        "alter role countersign_app superuser",
    ];
    for role in [Role::App, Role::Reader] {
        let mut conn = database.connect(role).await;
        for attack in attacks {
            let error = conn.execute(attack).await.expect_err(attack);
            let code = error.as_database_error().and_then(|said| said.code().map(std::borrow::Cow::into_owned));
            assert_eq!(code.as_deref(), Some("42501"), "{attack}: {error}");
        }
    }
    let mut reader = database.connect(Role::Reader).await;
    let append = "select audit.append('k', 'a', '{}')";
    assert!(reader.execute(append).await.unwrap_err().to_string().contains("permission denied for function append"));
    assert!(matches!(judge(&database).await, Verdict::Intact(intact) if intact.head == before[1].hash));
}

/// the triggers stop the owner too, until the owner takes them away; and a superuser's replica mode passes by
/// ordinary triggers, not by these.
#[tokio::test]
async fn the_triggers_also_fire_for_the_owner_and_in_replica_mode() {
    let database = TestDatabase::create().await;
    fill(&database, 2).await;
    let attacks = [
        ("update audit.record set actor = 'x'", "records are appended, never changed"),
        ("delete from audit.record where seq = 2", "records are appended, never changed"),
        ("truncate audit.record", "records are appended, never changed"),
        ("update audit.payload set verdict = null", "records are appended, never changed"),
        ("delete from audit.payload where seq = 1", "erased only by audit.redact"),
        ("truncate audit.payload", "records are appended, never changed"),
        ("update audit.head set seq = 1", "the head of the records moves only by appending"),
        ("update audit.head set seq = seq + 1", "the head of the records moves only by appending"),
        ("delete from audit.head", "the head of the records moves only by appending"),
        ("truncate audit.head", "records are appended, never changed"),
    ];
    let mut owner = database.connect(Role::Owner).await;
    let mut replica = database.connect_superuser().await;
    replica.execute("set session_replication_role = replica").await.unwrap();
    for (attack, why) in attacks {
        for conn in [&mut owner, &mut replica] {
            let said = conn.execute(AssertSqlSafe(attack)).await.expect_err(attack).to_string();
            assert!(said.contains(why), "{attack}: {said}");
        }
    }
    assert!(matches!(judge(&database).await, Verdict::Intact(Intact { rows: 2, .. })));
}
