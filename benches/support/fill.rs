//! Fills a new database with the year: rows by COPY, indexes afterwards.

use std::fs;
use std::path::Path;
use std::time::Instant;

use countersign::accounts::hasher::{Cost, Hasher, Room};
use countersign::clock::Clock;
use countersign::database::Role;
use countersign::database::migrate;
use countersign::database::private::PrivatePostgres;
use countersign::random::Random;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::cast::{Cast, GATED};
use super::records::{PASSWORD, start};
use super::year::{self, Newest, Table, Year};

/// What the year is told with. Another seed is another year.
const SEED: u64 = 20_261_121;

/// Makes the database. Without WAL where it can: what is cut short is made again from the beginning.
pub async fn fill(data_dir: &Path, count: i64) {
    let began = Instant::now();
    println!("records: making {count} of them in {} (seed {SEED}); once", data_dir.display());
    fs::remove_dir_all(data_dir).ok();
    fs::create_dir_all(data_dir).expect("the place for the database can be made");
    let fast = [
        "wal_level=minimal",
        "max_wal_senders=0",
        "max_wal_size=8GB",
        "shared_buffers=512MB",
        "autovacuum=off",
        "maintenance_work_mem=512MB",
        "max_parallel_maintenance_workers=2",
    ];
    let postgres = start(data_dir, &fast).await;
    migrate::migrate(&postgres.options(Role::Owner)).await.expect("the migrations apply");
    let clock = Clock::system();
    let cast = year::cast_of(SEED, clock.now());
    let mut conn = postgres.superuser_options("countersign").connect().await.expect("the server runs");
    insert_cast(&mut conn, &cast, clock.now()).await;
    let indexes = drop_indexes(&mut conn).await;
    let newest = copy_year(&postgres, cast, count, clock.now()).await;
    println!("records: {count} written after {:.0} s", began.elapsed().as_secs_f64());
    finish(&mut conn, newest, indexes).await;
    conn.close().await.expect("the server runs");
    postgres.stop().await.expect("the server stops");
    fs::write(data_dir.join("filled"), format!("{count}\n")).expect("the mark can be written");
    println!("records: ready after {:.0} s", began.elapsed().as_secs_f64());
}

async fn insert_cast(conn: &mut PgConnection, cast: &Cast, now: Timestamp) {
    let random = Random::seeded(SEED);
    let hasher = Hasher::new(Cost::SERVED, Room::default()).expect("what is served costs enough");
    let seat = hasher.seat().await.expect("nobody else hashes");
    let hashed = seat.hash(&Zeroizing::new(PASSWORD.to_owned()), &random).await;
    let (_, phc) = hashed.expect("a hash can be computed");
    for (n, person) in cast.people.iter().enumerate() {
        let roles: &[&str] = if n == 0 { &["approver", "auditor", "admin"] } else { &["approver"] };
        sqlx::query(
            "insert into portal.account (id, email, email_key, name, roles, password_phc, password_changed_at, created_at)
            values ($1, $2, $2, $3, $4, $5, $6, $6)",
        )
        .bind(person.id)
        .bind(&person.email)
        .bind(&person.name)
        .bind(roles)
        .bind(&phc)
        .bind(now.to_sqlx())
        .execute(&mut *conn)
        .await
        .expect("an account is inserted");
    }
    let_decide_everything(conn).await;
    for (n, pipeline) in cast.pipelines.iter().enumerate() {
        let insert = "with s as (insert into portal.source (name, account, region, swept_at) values ($1, $2, 'eu-west-1', now())
                on conflict do nothing), \
            p as (insert into portal.pipeline (source, name, version, updated_at, execution_mode, pipeline_type, stages,
                gate_count, defined_at, read_at) values ($1, $3, 1, now(), 'SUPERSEDED', 'V2', '[]', $4, now(), now()))
            insert into portal.gate (source, pipeline, stage, action) select $1, $3, 'Production', 'Release' where $4 = 1";
        sqlx::query(insert)
            .bind(&pipeline.source)
            .bind(&pipeline.account)
            .bind(&pipeline.name)
            .bind(i32::from(n < GATED))
            .execute(&mut *conn)
            .await
            .expect("a pipeline is inserted");
    }
}

/// What is measured is how quick people are let decide, not whether they are.
async fn let_decide_everything(conn: &mut PgConnection) {
    conn.execute(
        "with spans as (insert into portal.account_span (account_id, roles, enabled, from_at)
            select id, roles, true, created_at from portal.account)
        insert into portal.access_grant (id, capability, account_id, source, pipeline, stage, action, from_at)
        select gen_random_uuid(), 'decide', id, '*', '*', '*', '*', created_at from portal.account",
    )
    .await
    .expect("grants can be inserted");
}

/// Removes every index that no constraint needs, and returns how to make it again.
async fn drop_indexes(conn: &mut PgConnection) -> Vec<String> {
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) from pg_index i
        where i.indrelid in ('audit.record'::regclass, 'audit.payload'::regclass, 'portal.approval'::regclass,
            'portal.decision'::regclass)
        and not exists (select from pg_constraint c where c.conindid = i.indexrelid)",
    )
    .fetch_all(&mut *conn)
    .await
    .expect("the catalogue can be read");
    for (name, _) in &indexes {
        conn.execute(AssertSqlSafe(format!("drop index {name}"))).await.expect("an index is dropped");
    }
    indexes.into_iter().map(|(_, how)| how).collect()
}

/// One connection per table, fed by a thread that tells the year.
async fn copy_year(postgres: &PrivatePostgres, cast: Cast, count: i64, now: Timestamp) -> Newest {
    let mut senders = Vec::new();
    let mut copies = Vec::new();
    for table in Table::ALL {
        let (sender, receiver) = mpsc::channel(2);
        senders.push(sender);
        let conn = postgres.superuser_options("countersign").connect().await.expect("the server runs");
        copies.push(tokio::spawn(copy_table(conn, table, receiver)));
    }
    let telling = tokio::task::spawn_blocking(move || {
        let out = |table: Table, rows| senders[table as usize].blocking_send(rows).expect("the table is being written");
        Year::new(&cast, SEED, count, now, out).tell()
    });
    for copy in copies {
        copy.await.expect("a table is written");
    }
    telling.await.expect("the year is told")
}

async fn copy_table(mut conn: PgConnection, table: Table, mut rows: mpsc::Receiver<Vec<u8>>) {
    let (name, columns) = match table {
        Table::Record => ("audit.record", "seq, at, prev, kind, actor, payload_hash, hash"),
        Table::Payload => (
            "audit.payload",
            "seq, payload, kind, source, pipeline, stage, action, execution, approval, decision, person, verdict, outcome",
        ),
        Table::Approval => (
            "portal.approval",
            "id, source, pipeline, stage, action, execution_id, action_execution_id, token, token_hash, execution_mode, \
             pipeline_version, opened_at, opened_about, expires_at, expires_about, found_at, seen_open_at, at_aws, \
             closed_at, closed_why, decided, decided_by, decided_summary, shown, fingerprint, details",
        ),
        Table::Decision => (
            "portal.decision",
            "id, approval_id, account_id, verdict, summary, signed_as, fingerprint, channel, state, attempt, intent_seq, \
             intent_hash, created_at, sent_at, steps, settled_at, approved_at",
        ),
    };
    // Emptied within the transaction that fills it, a table needs no WAL and its rows are frozen from the beginning. Where
    // others refer to a table, emptying it would lock those too.
    let is_audit = matches!(table, Table::Record | Table::Payload);
    let (truncate, freeze) = if is_audit { (format!("; truncate {name}"), ", freeze") } else { (String::new(), "") };
    let begin = format!("begin; alter table {name} disable trigger all{truncate}");
    conn.execute(AssertSqlSafe(begin)).await.expect("the table is emptied");
    let how = format!("copy {name} ({columns}) from stdin (format binary{freeze})");
    let mut copy = conn.copy_in_raw(&how).await.expect("the table can be copied into");
    while let Some(batch) = rows.recv().await {
        copy.send(batch).await.expect("rows are taken");
    }
    copy.finish().await.expect("the rows are right");
    conn.execute("commit").await.expect("the table is written");
}

/// Sets the head, puts back indexes and triggers, and tells the planner what there is.
async fn finish(conn: &mut PgConnection, newest: Newest, indexes: Vec<String>) {
    conn.execute("alter table audit.head disable trigger all").await.expect("the head can be set");
    sqlx::query("update audit.head set seq = $1, at = $2, hash = $3")
        .bind(newest.seq)
        .bind(Timestamp::from_microsecond(newest.at).expect("a time of this century").to_sqlx())
        .bind(newest.hash.to_vec())
        .execute(&mut *conn)
        .await
        .expect("the head is set");
    let triggers: Vec<(String, String)> = sqlx::query_as(
        "select tgrelid::regclass::text, tgname::text from pg_trigger where not tgisinternal
        and tgrelid in ('audit.head'::regclass, 'audit.record'::regclass, 'audit.payload'::regclass)",
    )
    .fetch_all(&mut *conn)
    .await
    .expect("the catalogue can be read");
    for (table, trigger) in triggers {
        let always = format!("alter table {table} enable always trigger {trigger}");
        conn.execute(AssertSqlSafe(always)).await.expect("a trigger is put back");
    }
    conn.execute(
        "alter table portal.approval enable trigger all; alter table portal.decision enable trigger all;
        insert into portal.shown select fingerprint, id, shown, found_at from portal.approval where at_aws = 'open'",
    )
    .await
    .expect("what is shown is kept");
    for how in indexes {
        conn.execute(AssertSqlSafe(how)).await.expect("an index is made");
    }
    for table in ["audit.record", "audit.payload", "portal.approval", "portal.decision"] {
        conn.execute(AssertSqlSafe(format!("vacuum (analyze) {table}"))).await.expect("the table is analysed");
    }
    conn.execute("analyze; checkpoint").await.expect("everything is written");
}
