//! what is refused, one fault at a time. Each is done to a fresh database by somebody with every right.

use countersign::database::Role;
use countersign::database::safety::{Unsafe, check};
use sqlx::{AssertSqlSafe, Connection, Executor};

use crate::support::postgres::TestDatabase;

#[tokio::test]
async fn a_fresh_database_is_safe_for_the_app_alone() {
    let database = TestDatabase::create().await;
    assert_eq!(check(&mut database.connect(Role::App).await).await.unwrap(), []);
    let found = check(&mut database.connect(Role::Reader).await).await.unwrap();
    assert_eq!(found, [Unsafe::CannotAppend { role: "countersign_reader".into() }]);
    let empty = TestDatabase::create_empty().await;
    assert_eq!(check(&mut empty.connect(Role::App).await).await.unwrap(), [Unsafe::NoTables]);
}

const EXTRA_FUNCTION: &str = "create function audit.erase() returns void language sql security definer
    as 'delete from audit.record'; revoke all on function audit.erase() from public;
    alter function audit.erase() owner to countersign_owner";

#[tokio::test]
async fn every_fault_is_refused_with_a_sentence_of_its_own() {
    let cases: &[(&str, &[&str])] = &[
        ("grant insert on audit.record to countersign_app", &["has INSERT on audit.record"]),
        ("grant update on audit.head to countersign_app", &["has UPDATE on audit.head"]),
        ("grant update (actor) on audit.record to public", &["has UPDATE on audit.record"]),
        ("grant delete on audit.payload to public", &["has DELETE on audit.payload"]),
        ("grant truncate on audit.payload to countersign_app", &["has TRUNCATE on audit.payload"]),
        ("grant trigger on audit.record to countersign_app", &["has TRIGGER on audit.record"]),
        ("grant create on schema audit to countersign_app", &["has CREATE on schema audit"]),
        ("grant create on schema public to public", &["has CREATE on schema public"]),
        (
            "grant execute on function audit.redact(bigint, text) to countersign_app",
            &["has EXECUTE on function audit.redact(bigint,text)"],
        ),
        (
            "revoke execute on function audit.append(text, text, bytea) from countersign_app",
            &["may not read or append"],
        ),
        ("revoke select on audit.payload from countersign_app", &["may not read or append"]),
        (
            "alter table audit.record disable trigger record_stays",
            &["record_stays on audit.record does not fire always"],
        ),
        (
            "alter table audit.record enable trigger record_stays",
            &["record_stays on audit.record does not fire always"],
        ),
        ("drop trigger payload_stays_whole on audit.payload", &["payload_stays_whole on audit.payload is missing"]),
        (
            "drop trigger record_stays on audit.record; create trigger record_stays before delete on audit.record
                 for each row execute function audit.refuse_change();
             alter table audit.record enable always trigger record_stays",
            &["record_stays on audit.record was altered"],
        ),
        (
            "drop trigger record_stays on audit.record;
             create trigger record_stays before update or delete on audit.record
                 for each row when (old.seq > 5) execute function audit.refuse_change();
             alter table audit.record enable always trigger record_stays",
            &["record_stays on audit.record was altered"],
        ),
        (
            "create trigger mine before insert on audit.record for each row execute function audit.refuse_change()",
            &["mine on audit.record is none of Countersign's"],
        ),
        ("create rule mine as on insert to audit.record do instead nothing", &["added the rule mine to audit.record"]),
        (
            "alter function audit.append(text, text, bytea) security invoker",
            &["audit.append runs with the wrong rights"],
        ),
        (
            "alter function audit.append(text, text, bytea) reset search_path",
            &["audit.append has lost its fixed search_path"],
        ),
        (
            "alter function audit.append(text, text, bytea) set search_path = public, pg_catalog",
            &["audit.append has lost its fixed search_path"],
        ),
        (
            "create or replace function audit.refuse_change() returns trigger language plpgsql
                 set search_path = pg_catalog, pg_temp as 'begin return old; end'",
            &["audit.refuse_change was altered"],
        ),
        ("alter function audit.append(text, text, bytea) owner to postgres", &["audit.append was altered"]),
        ("drop function audit.redact(bigint, text)", &["audit.redact is missing"]),
        (
            "create function audit.append(text) returns void language sql as 'select 1';
             revoke all on function audit.append(text) from public;
             alter function audit.append(text) owner to countersign_owner",
            &["audit.append exists twice"],
        ),
        (EXTRA_FUNCTION, &["audit.erase is none of Countersign's"]),
        (
            "alter table audit.record disable trigger all; delete from audit.record where seq = 2;
             alter table audit.record enable always trigger record_stays;
             alter table audit.record enable always trigger record_stays_whole",
            &["The newest record is 1 but the head names 2"],
        ),
        (
            "alter table audit.head disable trigger all; update audit.head set hash = sha256(hash);
             alter table audit.head enable always trigger head_advances;
             alter table audit.head enable always trigger head_stays_whole",
            &["The newest record is 2 but the head names 2"],
        ),
        (
            "alter table audit.head disable trigger all; delete from audit.head;
             alter table audit.head enable always trigger head_advances;
             alter table audit.head enable always trigger head_stays_whole",
            &["The newest record is 2 but the head names -1"],
        ),
    ];
    let filled = TestDatabase::create().await;
    let mut app = filled.connect(Role::App).await;
    let salt = "\"salt\":\"000102030405060708090a0b0c0d0e0f\"";
    for _ in 0..2 {
        let append = format!("select audit.append('k', 'a', convert_to('{{{salt}}}', 'UTF8'))");
        app.execute(AssertSqlSafe(append)).await.unwrap();
    }
    app.close().await.unwrap();
    for (fault, sentences) in cases {
        let database = filled.copy().await;
        let mut dba = database.connect_superuser().await;
        dba.execute(AssertSqlSafe(*fault)).await.expect(fault);
        let found = check(&mut database.connect(Role::App).await).await.unwrap();
        let said: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), sentences.len(), "{fault}: {said:#?}");
        for sentence in *sentences {
            assert!(said.iter().any(|line| line.contains(sentence)), "{fault}: {said:#?}");
        }
    }
}

/// Roles belong to the whole server, so these logins have names of their own.
#[tokio::test]
async fn a_login_with_more_than_the_app_has_is_refused() {
    let database = TestDatabase::create().await;
    let mut dba = database.connect_superuser().await;
    dba.execute(
        "create role over_owner login in role countersign_app, countersign_owner;
         create role over_maker login createrole in role countersign_app;
         create role over_replica login replication in role countersign_app;
         create role over_writer login in role countersign_app, pg_write_all_data;
         create role over_shell login in role countersign_app, pg_execute_server_program;
         create role plain login in role countersign_app",
    )
    .await
    .unwrap();
    let cases = [
        ("over_owner", "may act as countersign_owner, which owns the records"),
        ("over_maker", "has CREATEROLE"),
        ("over_replica", "has REPLICATION"),
        ("over_writer", "has DELETE on audit.record"),
        ("over_shell", "may act as pg_execute_server_program, which has the server's own powers"),
    ];
    for (login, sentence) in cases {
        let mut conn = sqlx::PgConnection::connect_with(&database.options(Role::App).username(login)).await.unwrap();
        let found = check(&mut conn).await.unwrap();
        assert!(found.iter().any(|one| one.to_string().contains(sentence)), "{login}: {found:?}");
    }
    let mut plain = sqlx::PgConnection::connect_with(&database.options(Role::App).username("plain")).await.unwrap();
    assert_eq!(check(&mut plain).await.unwrap(), []);
}

/// `synchronous_commit` can be switched off for one login; the other two belong to the server and are asked for alike.
#[tokio::test]
async fn a_server_that_may_forget_commits_is_refused() {
    let database = TestDatabase::create().await;
    let mut conn = database.connect(Role::App).await;
    conn.execute("set synchronous_commit = off").await.unwrap();
    assert_eq!(check(&mut conn).await.unwrap(), [Unsafe::Setting { name: "synchronous_commit" }]);
    for name in ["fsync", "full_page_writes"] {
        let said = Unsafe::Setting { name }.to_string();
        assert!(said.starts_with(&format!("{name} is off: after a crash")), "{said}");
    }
}
