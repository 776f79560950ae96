//! The mutation table: what a database administrator with every right can do to a log of 1,000 records, and what the
//! verifier says. Each starts from the same filled database with the triggers out of the way.

use countersign::audit::chain::{Chain, Head, Row, StoredPayload};
use countersign::audit::{Broken, Verdict, Why, verify};
use countersign::database::Role;
use futures::TryStreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

use crate::support::postgres::TestDatabase;
use crate::{fill, judge};

const ROWS: u32 = 1_000;

static FILLED: OnceCell<TestDatabase> = OnceCell::const_new();

/// Triggers and checks out of the way: whoever changes records does this first.
const UNGUARDED: &str = "
    alter table audit.record drop constraint record_seq_check;
    alter table audit.record disable trigger all;
    alter table audit.payload disable trigger all;
    alter table audit.head disable trigger all;";

/// Hashes every record from `n` on anew, head included: what somebody does who knows the format.
const RECHAIN: &str = "
    create function pg_temp.rechain(n bigint) returns void language plpgsql as $$
    declare r audit.record; p bytea; before bytea; body bytea;
    begin
        select hash into before from audit.record where seq = n - 1;
        for r in select * from audit.record where seq >= n order by seq loop
            select payload into body from audit.payload where seq = r.seq;
            r.payload_hash := sha256(body);
            r.prev := before;
            before := sha256('\\x00'::bytea || convert_to(format(E'countersign-record/v1\\n%s\\n%s\\n%s\\n%s\\n%s\\n%s\\n', r.seq,
                to_char(r.at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), encode(r.prev, 'hex'), r.kind,
                r.actor, encode(r.payload_hash, 'hex')), 'UTF8'));
            update audit.record set prev = r.prev, payload_hash = r.payload_hash, hash = before where seq = r.seq;
        end loop;
        update audit.head set hash = before, seq = (select max(seq) from audit.record),
            at = (select max(at) from audit.record);
    end $$;";

async fn filled() -> &'static TestDatabase {
    let fill_one = || async {
        let database = TestDatabase::create().await;
        fill(&database, ROWS).await;
        database
    };
    FILLED.get_or_init(fill_one).await
}

/// A copy of the filled database to which `mutation` was done.
async fn mutated(mutation: &str) -> TestDatabase {
    let database = filled().await.copy().await;
    let mut dba = database.connect_superuser().await;
    dba.execute(AssertSqlSafe(format!("{UNGUARDED} {RECHAIN} {mutation}"))).await.unwrap();
    dba.close().await.unwrap();
    database
}

#[tokio::test]
async fn what_a_chain_can_find_is_found_at_the_record() {
    let cases: &[(&str, &str, i64, Why)] = &[
        ("change the actor", "update audit.record set actor = 'eve' where seq = 500", 500, Why::Hash),
        ("change the kind", "update audit.record set kind = 'decision.lapsed' where seq = 500", 500, Why::Hash),
        ("change the time", "update audit.record set at = at + interval '1 us' where seq = 500", 500, Why::Hash),
        ("a time no clock shows", "update audit.record set at = 'infinity' where seq = 500", 500, Why::Hash),
        (
            "change the payload",
            "update audit.payload set payload = overlay(payload placing 'X' from 60) where seq = 500",
            500,
            Why::PayloadHash,
        ),
        (
            "change payload and digest",
            "update audit.payload set payload = overlay(payload placing 'X' from 60) where seq = 500;
             update audit.record set payload_hash = (select sha256(payload) from audit.payload where seq = 500) where seq = 500",
            500,
            Why::Hash,
        ),
        ("change a column", "update audit.payload set pipeline = 'other' where seq = 500", 500, Why::Column("pipeline")),
        ("blank a column", "update audit.payload set person = null where seq = 500", 500, Why::Column("person")),
        ("fill a column", "update audit.payload set outcome = 'accepted' where seq = 500", 500, Why::Column("outcome")),
        ("change the copied kind", "update audit.payload set kind = 'x' where seq = 500", 500, Why::Column("kind")),
        (
            "swap two records",
            "update audit.record set seq = -1 where seq = 500; update audit.record set seq = 500 where seq = 501;
             update audit.record set seq = 501 where seq = -1",
            500,
            Why::Link,
        ),
        (
            "swap two payloads",
            "update audit.payload set seq = -1 where seq = 500; update audit.payload set seq = 500 where seq = 501;
             update audit.payload set seq = 501 where seq = -1",
            500,
            Why::PayloadHash,
        ),
        (
            "drop one in the middle",
            "delete from audit.record where seq = 500; delete from audit.payload where seq = 500",
            501,
            Why::Gap { expected: 500 },
        ),
        (
            "drop one and close the gap",
            "delete from audit.record where seq = 500; delete from audit.payload where seq = 500;
             update audit.record set seq = -seq where seq > 500; update audit.record set seq = -seq - 1 where seq < 0;
             update audit.payload set seq = -seq where seq > 500; update audit.payload set seq = -seq - 1 where seq < 0",
            500,
            Why::Link,
        ),
        (
            "drop the first",
            "delete from audit.record where seq = 1; delete from audit.payload where seq = 1",
            2,
            Why::Gap { expected: 1 },
        ),
        (
            "drop the last three",
            "delete from audit.record where seq > 997; delete from audit.payload where seq > 997",
            997,
            Why::Head,
        ),
        ("drop everything", "delete from audit.record; delete from audit.payload", 0, Why::Head),
        (
            "duplicate",
            "alter table audit.record drop constraint record_pkey;
             insert into audit.record select * from audit.record where seq = 500",
            500,
            Why::Order { expected: 501 },
        ),
        (
            "duplicate a payload",
            "alter table audit.payload drop constraint payload_pkey;
             insert into audit.payload select * from audit.payload where seq = 500",
            500,
            Why::Order { expected: 501 },
        ),
        (
            "insert at the front",
            "insert into audit.record select 0, at, prev, kind, actor, payload_hash, hash from audit.record where seq = 1",
            0,
            Why::Order { expected: 1 },
        ),
        (
            "insert at the end by hand",
            "insert into audit.record select 1001, at, hash, kind, actor, payload_hash, hash from audit.record where seq = 1000;
             insert into audit.payload (seq, payload, kind) select 1001, payload, kind from audit.payload where seq = 1000",
            1001,
            Why::Hash,
        ),
        (
            "insert a well-formed one and forget the head",
            "insert into audit.record select 1001, at + interval '1 s', hash, kind, actor, payload_hash, hash
                 from audit.record where seq = 1000;
             insert into audit.payload select 1001, payload, kind, source, pipeline, stage, action, execution, approval,
                 decision, person, verdict, outcome from audit.payload where seq = 1000;
             create temp table h as select * from audit.head; select pg_temp.rechain(1001);
             update audit.head set seq = h.seq, at = h.at, hash = h.hash from h",
            1001,
            Why::Head,
        ),
        ("a payload of no record", "insert into audit.payload (seq, payload, kind) values (1001, '{}', '')", 1001, Why::OrphanPayload),
        (
            "a payload before the first",
            "insert into audit.payload (seq, payload, kind) values (0, '{}', '')",
            0,
            Why::OrphanPayload,
        ),
        ("erase without a record", "delete from audit.payload where seq = 500", 500, Why::MissingPayload),
        ("move the head back", "update audit.head set seq = 999", 1000, Why::Head),
        ("change the head's hash", "update audit.head set hash = sha256(hash)", 1000, Why::Head),
        ("remove the head", "delete from audit.head", 1000, Why::Head),
        (
            "cut the chain in two",
            "update audit.record set prev = decode(repeat('00', 32), 'hex') where seq = 500",
            500,
            Why::Link,
        ),
        (
            "re-chain, columns forgotten",
            "update audit.payload set payload = convert_to(replace(convert_from(payload, 'UTF8'), 'rejected', 'approved'), 'UTF8')
                 where seq = 501; select pg_temp.rechain(501)",
            501,
            Why::Column("verdict"),
        ),
        (
            "re-chain with a time that runs backwards",
            "update audit.record set at = at - interval '1 day' where seq = 500; select pg_temp.rechain(500)",
            500,
            Why::Clock,
        ),
        (
            "re-chain a payload with a key twice",
            "update audit.payload set payload = convert_to(replace(convert_from(payload, 'UTF8'),
                 '\"summary\":', '\"verdict\":\"approved\",\"summary\":'), 'UTF8') where seq = 500; select pg_temp.rechain(500)",
            500,
            Why::Payload(String::new()),
        ),
    ];
    for (name, mutation, seq, why) in cases {
        let database = mutated(mutation).await;
        match judge(&database).await {
            Verdict::Broken(Broken { why: Why::Payload(said), seq: at }) => {
                assert!(matches!(why, Why::Payload(_)) && at == *seq && said.contains("duplicate"), "{name}: {said}");
            }
            verdict => assert_eq!(verdict, Verdict::Broken(Broken { seq: *seq, why: why.clone() }), "{name}"),
        }
    }
}

/// A chain alone cannot find these: they leave a perfect one. What gives them away is a copy of the head kept outside the
/// database; the head is therefore part of what the verifier prints.
#[tokio::test]
async fn what_a_chain_alone_cannot_find_shows_in_the_head() {
    let Verdict::Intact(honest) = judge(filled().await).await else { panic!("the log was not intact to begin with") };
    let cases = [
        (
            "edit one and re-chain to the end",
            "update audit.record set actor = 'eve' where seq = 500; select pg_temp.rechain(500)",
        ),
        (
            "drop the last three and move the head back",
            "delete from audit.record where seq > 997; delete from audit.payload where seq > 997;
             update audit.head h set seq = r.seq, at = r.at, hash = r.hash from audit.record r where r.seq = 997",
        ),
        (
            "drop one, renumber and re-chain",
            "delete from audit.record where seq = 500; delete from audit.payload where seq = 500;
             update audit.record set seq = -seq where seq > 500; update audit.record set seq = -seq - 1 where seq < 0;
             update audit.payload set seq = -seq where seq > 500; update audit.payload set seq = -seq - 1 where seq < 0;
             select pg_temp.rechain(500)",
        ),
    ];
    for (name, mutation) in cases {
        let Verdict::Intact(forged) = judge(&mutated(mutation).await).await else { panic!("{name} was found") };
        assert_ne!((forged.rows, forged.head), (honest.rows, honest.head), "{name}");
    }
}

/// Section 2.4: no miss in 10,000 random changes of a single byte of entry, payload or column.
#[tokio::test]
async fn ten_thousand_changed_bytes_are_all_found() {
    let mut conn = filled().await.copy().await.connect(Role::Reader).await;
    let messages: Vec<_> = verify::stream_rows(&mut conn).await.unwrap().try_collect().await.unwrap();
    let read = |message| verify::read_row(message).unwrap();
    let rows: Vec<Row<'_>> = messages.iter().filter_map(|message| read(message.as_ref())).collect();
    let mut before = vec![Chain::default()];
    for row in &rows {
        let mut chain = before.last().unwrap().clone();
        chain.check(row).unwrap();
        before.push(chain);
    }
    let last = rows.last().unwrap();
    let head = Head { seq: last.seq, at: last.at, hash: last.hash.to_vec() };

    let mut rng = fastrand::Rng::with_seed(20_261_121);
    for round in 0..10_000 {
        let index = rng.usize(..rows.len());
        let mut row = rows[index].clone();
        let what = change_a_byte(&mut row, &mut rng);
        assert_ne!(row, rows[index], "round {round} changed nothing in {what}");
        // Found at the record itself, or else by what follows it.
        let mut chain = before[index].clone();
        let rest = std::iter::once(&row).chain(&rows[index + 1..]);
        let found = rest.map(|row| chain.check(row)).find(Result::is_err);
        let missed = found.is_none() && matches!(chain.finish(Some(&head)), Verdict::Intact(_));
        assert!(!missed, "round {round}: a changed {what} of record {} was missed", index + 1);
    }
}

/// Changes one byte of one field, picked at random; answers which field.
fn change_a_byte(row: &mut Row<'_>, rng: &mut fastrand::Rng) -> &'static str {
    let payload = row.payload.as_mut().expect("no payload was erased");
    match rng.u8(..10) {
        0 => {
            row.seq ^= 1 << rng.u32(..63);
            "seq"
        }
        1 => {
            let micros = row.at.unwrap().as_microsecond() ^ (1 << rng.u32(..50));
            row.at = Some(jiff::Timestamp::from_microsecond(micros).unwrap());
            "at"
        }
        2 => flip(row.prev.to_mut(), rng, "prev"),
        3 => flip(row.hash.to_mut(), rng, "hash"),
        4 => flip(row.payload_hash.to_mut(), rng, "payload_hash"),
        5 => respell(row.kind.to_mut(), rng, "kind"),
        6 => respell(row.actor.to_mut(), rng, "actor"),
        7 | 8 => flip(payload.bytes.to_mut(), rng, "payload"),
        _ => change_a_column(payload, rng),
    }
}

fn change_a_column(payload: &mut StoredPayload<'_>, rng: &mut fastrand::Rng) -> &'static str {
    let id = |id: &mut Option<uuid::Uuid>, bit: u32, name| {
        *id = id.map(|id| uuid::Uuid::from_u128(id.as_u128() ^ (1 << bit)));
        name
    };
    let bit = rng.u32(..128);
    match rng.u8(..10) {
        0 => id(&mut payload.approval, bit, "approval"),
        1 => id(&mut payload.decision, bit, "decision"),
        2 => id(&mut payload.person, bit, "person"),
        3 => respell(payload.source.as_mut().unwrap().to_mut(), rng, "source"),
        4 => respell(payload.pipeline.as_mut().unwrap().to_mut(), rng, "pipeline"),
        5 => respell(payload.stage.as_mut().unwrap().to_mut(), rng, "stage"),
        6 => respell(payload.action.as_mut().unwrap().to_mut(), rng, "action"),
        7 => respell(payload.execution.as_mut().unwrap().to_mut(), rng, "execution"),
        8 => respell(payload.verdict.as_mut().unwrap().to_mut(), rng, "verdict"),
        _ => respell(payload.kind.to_mut(), rng, "copied kind"),
    }
}

fn flip(bytes: &mut [u8], rng: &mut fastrand::Rng, name: &'static str) -> &'static str {
    bytes[rng.usize(..bytes.len())] ^= 1 << rng.u32(..8);
    name
}

/// Replaces one ASCII byte by another.
fn respell(text: &mut String, rng: &mut fastrand::Rng, name: &'static str) -> &'static str {
    let place = rng.usize(..text.len());
    let other = char::from((text.as_bytes()[place] + rng.u8(1..127)) % 127);
    text.replace_range(place..=place, other.encode_utf8(&mut [0; 4]));
    name
}

/// The connection is used again after an intact log, so nothing may be left open on it.
#[tokio::test]
async fn verifying_leaves_no_transaction_behind() {
    let database = filled().await.copy().await;
    let mut conn: PgConnection = database.connect(Role::App).await;
    for _ in 0..2 {
        assert!(matches!(verify::verify(&mut conn).await.unwrap(), Verdict::Intact(_)));
    }
    let mut dba = database.connect_superuser().await;
    let state = "select state from pg_stat_activity where usename = 'countersign_app' and datname = current_database()";
    let states: Vec<String> = sqlx::query_scalar(state).fetch_all(&mut dba).await.unwrap();
    assert_eq!(states, ["idle"]);
}
