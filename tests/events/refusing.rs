//! What is not ours, not about approvals or not to be understood.

use std::cell::RefCell;
use std::io::Write;

use countersign::config::SourceConfig;
use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::harness::{Hearing, event, message};

tokio::task_local! {
    static SAID: RefCell<Vec<u8>>;
}

/// What is logged while something is done by the same task.
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // What is done outside concerns nobody.
        let _ = SAID.try_with(|said| said.borrow_mut().extend(bytes));
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

async fn logged(act: impl Future<Output = ()>) -> String {
    // For the whole program: a log of one thread alone would miss what another thread was first to find unlistened.
    let filter = EnvFilter::new("info,countersign=trace");
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(|| Log);
    tracing::subscriber::set_global_default(subscriber.finish()).expect("nobody else listens");
    let both = async {
        act.await;
        SAID.with(RefCell::take)
    };
    String::from_utf8(SAID.scope(RefCell::default(), both).await).unwrap()
}

#[tokio::test]
async fn what_is_about_another_account_region_or_pipeline_is_deleted_and_never_read() {
    let hearing = Hearing::of(|source| SourceConfig { exclude: vec!["queue".into()], ..source }).await;
    hearing.stage.sweep().await;
    hearing.stage.open("queue");
    hearing.stage.calls();
    let mut account = event("shop", "STARTED");
    account["account"] = json!("444455556666");
    let mut region = event("shop", "STARTED");
    region["region"] = json!("us-east-1");
    for told in [account, region, event("queue", "STARTED")] {
        hearing.queue.send(&told.to_string()).await;
        hearing.hear().await;
    }
    assert_eq!(hearing.stage.calls().len(), 0);
    assert_eq!(hearing.status().elsewhere, 3);
    assert_eq!(hearing.queue.left().await, (0, 0));
    let mut conn = hearing.stage.database.pages.acquire().await.unwrap();
    let looks: i64 = sqlx::query_scalar("select count(*) from portal.look").fetch_one(&mut *conn).await.unwrap();
    assert_eq!(looks, 0, "names that nobody asked for leave nothing behind");
}

#[tokio::test]
async fn actions_of_other_kinds_are_deleted_without_a_read() {
    let hearing = Hearing::start().await;
    let mut build = event("shop", "STARTED");
    build["detail"]["type"] = json!({"owner": "AWS", "category": "Build", "provider": "CodeBuild", "version": "1"});
    hearing.queue.send(&build.to_string()).await;
    hearing.hear().await;
    assert_eq!((hearing.status().beside, hearing.status().deleted), (1, 1));
    assert_eq!(hearing.stage.calls().len(), 0);
}

#[tokio::test]
async fn a_poison_message_is_counted_and_left_and_stops_nothing() {
    let hearing = Hearing::start().await;
    hearing.stage.open("shop");
    let deep = format!("{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let wrapped = serde_json::json!({"Type": "Notification", "Message": deep}).to_string();
    let poison = ["{\"approval\":7}".to_owned(), "{\"approval\":{".to_owned(), deep, wrapped, "x".repeat(200_000)];
    hearing.queue.send_many(&poison[..2]).await;
    for one in &poison[2..] {
        hearing.queue.send(one).await;
    }
    hearing.queue.send(&event("shop", "STARTED").to_string()).await;
    for _ in 0..7 {
        hearing.hear().await;
    }
    assert_eq!(hearing.stage.waiting().await.len(), 1);
    assert_eq!(hearing.status().not_understood, 5);
    assert_eq!(hearing.queue.left().await, (0, 5), "for the dead-letter queue");
}

#[tokio::test]
async fn no_body_and_no_token_is_in_the_log_however_much_is_logged() {
    // S-48
    let hearing = Hearing::start().await;
    let open = hearing.stage.open("shop");
    let mut told = message(&open, "2026-11-21T09:00Z");
    told["approval"]["customData"] = json!("marker-comment");
    hearing.queue.publish(&told.to_string(), false).await;
    hearing.queue.send("{\"marker\": \"marker-poison\"}").await;
    hearing.queue.send("{\"approval\": {\"pipelineName\": \"marker name\"}}").await;
    let said = logged(async {
        for _ in 0..3 {
            hearing.hear().await;
        }
    })
    .await;
    assert_eq!(said.matches("cannot be understood").count(), 2, "{said}");
    assert!(said.contains("it names no pipeline that AWS would name so") && said.contains("message_id"), "{said}");
    assert!(!said.contains("marker") && !said.contains(&open.token), "{said}");
    assert_eq!(hearing.stage.waiting().await.len(), 1);
}
