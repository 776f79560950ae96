//! The pair of keys that the portal proves itself with: one for all replicas, made once.

use countersign::accounts::{Accounts, Settings};
use countersign::push::Push;
use countersign::random::Random;

use crate::stage::{GATHERED, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_begin_together_have_one_key_and_it_stays() {
    let stage = Stage::start().await;
    let (one, two) = (stage.portal.replica().await, stage.portal.replica().await);
    let keys = futures::future::join_all([&one.state, &two.state, &stage.portal.state].map(|it| it.push.public_key()));
    let keys: Vec<String> = keys.await.into_iter().map(|key| key.unwrap().unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0] && key.len() == 87), "{keys:?}");
    let again = stage.portal.replica().await;
    assert_eq!(again.state.push.public_key().await.unwrap().unwrap(), keys[0]);
    for replica in [one, two, again] {
        replica.running.stop(std::time::Duration::from_secs(5)).await;
    }
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_seal_is_lost_is_made_anew_and_nobody_is_told_by_the_old_one() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    let before = stage.portal.state.push.public_key().await.unwrap();
    let sql = "update portal.push_key set sealed = set_byte(sealed, 20, get_byte(sealed, 20) # 1)";
    sqlx::query(sql).execute(&mut stage.portal.database.connect_superuser().await).await.unwrap();
    let after = stage.portal.state.push.public_key().await.unwrap();
    assert_ne!(before, after);
    assert_eq!(stage.portal.state.push.public_key().await.unwrap(), after);
    assert_eq!(stage.count("select count(*) from portal.push_browser").await, 0);
    stage.portal.waiting("shop").await;
    stage.tell().await;
    assert!(phone.told(&stage.service).is_empty());
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_seal_is_lost_is_given_up_and_breaks_nothing() {
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(GATHERED);
    stage.write().await;
    let sql = "update portal.push_message set sealed = '\\x01'";
    sqlx::query(sql).execute(&mut stage.portal.database.connect_superuser().await).await.unwrap();
    stage.send().await;
    assert!(phone.told(&stage.service).is_empty());
    assert_eq!(stage.waiting_messages().await, 0);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_it_is_off_there_is_no_key_and_nothing_is_sent() {
    let portal = crate::harness::Portal::start().await;
    let state = &portal.state;
    assert!(!state.push.is_on() && state.push.public_key().await.unwrap().is_none());
    let (random, settings) = (Random::system(), Settings::of(&state.config));
    let accounts = Accounts::cheap(state.database.clone(), state.clock.clone(), random, settings);
    let push = Push::open(&state.config, &accounts, &state.database, (&state.clock, &state.random)).unwrap();
    assert_eq!(push.send().await.unwrap(), 0);
    let mut conn = portal.database.connect_superuser().await;
    let keys: i64 = sqlx::query_scalar("select count(*) from portal.push_key").fetch_one(&mut conn).await.unwrap();
    assert_eq!(keys, 0);
    portal.finish().await;
}
