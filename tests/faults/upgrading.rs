//! An upgrade under way (F-36, P-15): the database is a release ahead of some of the processes that serve from it. What
//! a later release may add is added by hand here; today's program is the old one.

use countersign::random::Random;
use countersign::simulator::{Fault, FaultKind, Moment};
use serde_json::json;
use sqlx::{Executor as _, PgConnection};

use crate::harness::{Stage, Told};

/// Everything a migration may do while the release before it serves: columns, a table, a state, a kind of record.
const EXPANSION: &str = "
    alter table portal.decision add column quorum_of uuid, add column weight integer not null default 1;
    alter table portal.decision drop constraint decision_state_check;
    alter table portal.approval add column ticket text;
    alter table portal.account add column phone text;
    create table portal.freeze (source text primary key, since timestamptz not null);
    insert into _sqlx_migrations (version, description, success, checksum, execution_time)
        values (9001, 'expand', true, '', 0)";

async fn expand(conn: &mut PgConnection) {
    conn.execute(EXPANSION).await.unwrap();
    let salt = hex::encode(Random::seeded(1).bytes::<16>());
    let payload = json!({ "salt": salt, "sealed_by": { "release": "next" }, "pipeline": "shop" }).to_string();
    sqlx::query("select audit.append('decision.sealed', 'system', $1)")
        .bind(payload.as_bytes())
        .execute(conn)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_new_serve_from_one_database_and_neither_refuses_what_the_other_wrote() {
    // F-36
    let stage = Stage::start().await;
    let old = stage.serving("old").await;
    let (ana, ben) = tokio::join!(stage.person("Ana"), stage.person("Ben"));
    let shop = stage.waiting("shop").await;
    let mut dba = stage.database.connect_superuser().await;
    expand(&mut dba).await;
    // One that starts now, as after a crash in the middle of the upgrade.
    let new = stage.serving("new").await;
    assert!(old.is_ready().await && new.is_ready().await, "{:?}", old.readiness().await);
    assert!(new.log().contains("the database is newer than this program"), "{}", new.log());

    // As F-22: opposite verdicts at the same moment, one at each.
    let approving = ana.fill_in_when_shown(&old, &shop, "approved").await;
    let rejecting = ben.fill_in_when_shown(&new, &shop, "rejected").await;
    let told = tokio::join!(ana.send(&old, &approving), ben.send(&new, &rejecting));
    let refused = |told: &Told| matches!(told, Told::Not(said) if said.starts_with("409"));
    let one_won = (told.0 == Told::Done && refused(&told.1)) || (told.1 == Told::Done && refused(&told.0));
    assert!(one_won, "{told:?}");

    // What one of them began, the other ends.
    let line = stage.waiting("line").await;
    let form = ana.fill_in_when_shown(&old, &line, "approved").await;
    let kill = FaultKind::Signal { at: Moment::Applied, pid: old.pid().await };
    stage.simulator.add_fault(Fault::on("PutApprovalResult", kill).times(1));
    ana.send(&old, &form).await;
    old.ended().await;
    stage.until_state(&form.words, "accepted").await;
    assert_eq!(ana.send(&new, &form).await, Told::Done);
    let history = stage.judge().await;
    assert_eq!(history.effects.len(), 2);

    // A kind of record that only the next release knows is told, not stumbled over.
    let sealed = history.records.iter().find(|record| record.kind == "decision.sealed").unwrap();
    let pages = [("/history".to_owned(), "shop"), (format!("/history/{}", sealed.seq), "decision.sealed")];
    for (path, words) in pages {
        let page = ana.open(&new, &path).await.unwrap();
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        assert!(page.text().contains(words), "{path}: {}", page.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_the_database_has_left_behind_is_not_ready_and_does_not_start() {
    // P-15: expand now, contract one release later; the contraction says who can no longer work with it.
    let stage = Stage::start().await;
    let old = stage.serving("old").await;
    let mut dba = stage.database.connect_superuser().await;
    expand(&mut dba).await;
    dba.execute("comment on schema portal is 'oldest program: 9001'").await.unwrap();
    crate::harness::until("it is no longer ready", std::time::Duration::from_secs(30), async || {
        let (status, said) = old.readiness().await.unwrap();
        (status == 503 && said.contains("migrations are not current")).then_some(())
    })
    .await;
    let late = stage.replica("late");
    assert!(late.try_start().await.is_err());
    let said = late.log();
    assert!(said.contains("The database is newer than this program can work with (migration 9001"), "{said}");
}
