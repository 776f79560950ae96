//! Tags of pipelines: read only where something is about them, kept over time, and never a reason to see less.

use countersign::simulator::{Act, Fault, FaultKind};
use sqlx::Row as _;

use crate::harness::{Stage, source};

const WORLD: &str = r#"
[[templates]]
name = "plain"
stages = [
  { name = "Source", actions = [{ name = "Repo", kind = "source", seconds = 5 }] },
  { name = "Build", actions = [{ name = "Compile", kind = "build", seconds = 30 }] },
]
[[templates]]
name = "gated"
stages = [
  { name = "Source", actions = [{ name = "Repo", kind = "source", seconds = 5 }] },
  { name = "Release", actions = [{ name = "Approve", kind = "approval" }] },
]
[[worlds]]
account = "111122223333"
region = "eu-west-1"
pipelines = [
  { name = "shop", template = "gated", tags = { team = "shop", tier = "1" } },
  { name = "blog", template = "gated" },
  { name = "plain", template = "plain", tags = { team = "shop" } },
]
"#;

async fn start() -> Stage {
    Stage::start(WORLD, |sim| vec![source(sim)]).await
}

/// A grant about a tag, for somebody.
async fn use_tags(stage: &Stage) {
    let sql = "with a as (insert into portal.account (id, email, email_key, name, roles, created_at)
            values (gen_random_uuid(), 'a@x.example', 'a@x.example', 'A', '{}', now()) returning id)
        insert into portal.access_grant (id, capability, account_id, source, pipeline, stage, action, tag_key, tag_value,
            from_at) select gen_random_uuid(), 'decide', id, '*', '*', '*', '*', 'team', '*', now() from a";
    sqlx::query(sql).execute(&mut stage.test_database.connect_superuser().await).await.unwrap();
}

async fn kept(stage: &Stage) -> Vec<(String, String, bool)> {
    let sql = "select pipeline, tags::text, until_at is null from portal.pipeline_tags order by pipeline, from_at";
    let rows = sqlx::query(sql).fetch_all(&mut stage.test_database.connect_superuser().await).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// How often since this was last asked.
fn asked(stage: &Stage) -> u64 {
    stage.calls().get("ListTagsForResource").copied().unwrap_or(0)
}

#[tokio::test]
async fn tags_are_read_only_while_something_is_about_them_and_only_for_pipelines_with_gates() {
    let stage = start().await;
    stage.sweep().await;
    assert_eq!(asked(&stage), 0);
    use_tags(&stage).await;
    stage.step(15);
    stage.sweep().await;
    let shop = r#"{"team": "shop", "tier": "1"}"#;
    assert_eq!(kept(&stage).await, [("blog".into(), "{}".into(), true), ("shop".into(), shop.to_owned(), true)]);
    for _ in 0..4 {
        stage.step(15);
        stage.sweep().await;
    }
    assert_eq!(asked(&stage), 2, "once each, for as long as it lasts");
    let tags = [("team".to_owned(), "web".to_owned())].into();
    stage.world.act(Act::Tag { pipeline: "shop".into(), tags }).unwrap();
    stage.step(11 * 60);
    stage.sweep().await;
    assert_eq!(asked(&stage), 2, "again, within a quarter of an hour");
    let web = r#"{"team": "web"}"#;
    assert_eq!(kept(&stage).await[1..], [("shop".into(), shop.into(), false), ("shop".into(), web.into(), true)]);
}

#[tokio::test]
async fn a_pipeline_whose_tags_cannot_be_read_is_watched_all_the_same() {
    let stage = start().await;
    use_tags(&stage).await;
    stage.sim.add_fault(Fault::on("ListTagsForResource", FaultKind::Denied));
    stage.open("shop");
    let status = stage.sweep().await;
    assert_eq!((status.waiting, status.unreadable), (1, 0));
    assert!(kept(&stage).await.is_empty());
    assert!(asked(&stage) > 0);
    stage.step(60);
    stage.sweep().await;
    assert_eq!(asked(&stage), 0, "what is not allowed is not asked again at once");
    stage.sim.clear_faults();
    stage.step(5 * 60);
    stage.sweep().await;
    assert_eq!(kept(&stage).await.len(), 2);
}
