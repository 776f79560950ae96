//! What admins do with channels, and that no address and no secret is ever shown or kept where it could be read.

use crate::stage::{PROGRAM, SLACK, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_is_looked_at_before_it_is_made_and_mistakes_are_told_at_their_fields() {
    let stage = Stage::start().await;
    stage.portal.waiting("shop").await;
    let wrong = stage.adam.open("/admin/channels/new?look=1&kind=slack&name=&pipeline=a+b").await;
    assert_eq!(wrong.status, 422);
    wrong.says("Give it a name").says("cannot be in a name").says("Choose something that it is told.");
    assert!(wrong.body.contains("value=\"a b\""), "what was typed is kept");

    let page = stage.adam.open("/admin/channels/new?look=1&kind=slack&name=releases&pipeline=shop&waiting=on").await;
    page.says("releases is told of pipeline shop: what waits.").says("It fits 1 gate now");
    for (address, problem) in [
        ("", "Paste the address"),
        ("http://hooks.slack.com/hunter2", "begin with https://"),
        ("https://evil.example/hunter2", "evil.example is not Slack's"),
        ("https://169.254.169.254/hunter2", "the name of a host"),
        ("https://hooks.slack.com:8443/hunter2", "with a port"),
        ("https://x:y@hooks.slack.com/hunter2", "with a user"),
    ] {
        let refused = stage.adam.submit(&page, "/admin/channels", &[("address", address)]).await;
        assert_eq!(refused.status, 422, "{address}");
        refused.says(problem).says("It fits 1 gate now");
        assert!(!refused.body.contains("hunter2"), "{address}");
    }
    assert!(stage.portal.records_of("channel.made").await.is_empty());
    let made = stage.adam.submit(&page, "/admin/channels", &[("address", SLACK)]).await;
    assert_eq!(made.status, 303, "{}", made.text());
    stage.adam.follow(&made).await.says("The channel is made.").says("hooks.slack.com");
    let record = stage.portal.records_of("channel.made").await.remove(0).payload;
    assert_eq!((&record["host"], &record["gates"]), (&"hooks.slack.com".into(), &"pipeline shop".into()));
    let again = stage.adam.submit(&page, "/admin/channels", &[("address", SLACK)]).await;
    assert_eq!(again.status, 422);
    again.says("Another channel has this name.");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_holds_for_what_comes_and_an_ended_channel_is_told_nothing() {
    let stage = Stage::start().await;
    stage.takes(SLACK);
    let (page, _) = stage.make("slack", "releases", SLACK, "shop").await;
    let shown = stage.adam.open(&page).await;
    let more = stage
        .adam
        .submit(
            &shown,
            &format!("{page}/gates"),
            &[("source", ""), ("pipeline", "blog"), ("stage", ""), ("action", ""), ("tag_key", ""), ("tag_value", "")],
        )
        .await;
    assert_eq!(more.status, 303, "{}", more.text());
    stage.portal.waiting("blog").await;
    stage.tell_chats().await;
    assert_eq!(stage.sent_to(SLACK).len(), 1);

    // Only what became of it from now on, under another name.
    let shown = stage.adam.open(&page).await;
    let changed = stage.adam.submit(&shown, &page, &[("name", "ends"), ("address", ""), ("ends", "on")]).await;
    assert_eq!(changed.status, 303, "{}", changed.text());
    stage.portal.waiting("shop").await;
    stage.tell_chats().await;
    assert_eq!(stage.sent_to(SLACK).len(), 1);
    stage.adam.open("/admin/channels").await.says("ends").says("what became of it").says("pipeline blog");

    stage.approve("shop").await;
    stage.channels.step().await.unwrap();
    assert_eq!(stage.press(&page, "/end").await, 303);
    stage.tell_chats().await;
    assert_eq!(stage.sent_to(SLACK).len(), 1);
    assert_eq!(stage.adam.open(&page).await.status, 404);
    assert_eq!(stage.portal.records_of("channel.changed").await.len(), 2);
    assert_eq!(stage.portal.records_of("channel.ended").await.len(), 1);
    let kept = stage.texts("select id::text from portal.channel where sealed_address is not null").await;
    assert!(kept.is_empty(), "where it led is forgotten");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_where_a_channel_leads_nor_what_it_is_signed_with_is_kept_open_anywhere() {
    let stage = Stage::start().await;
    stage.takes(PROGRAM);
    let (page, secret) = stage.make("webhook", "Board", PROGRAM, "").await;
    let secret = secret.unwrap();
    stage.portal.waiting("shop").await;
    stage.tell().await;
    let sql = "select c::text from portal.channel c union all select d::text from portal.channel_delivery d";
    let mut kept = stage.texts(sql).await;
    kept.extend(stage.portal.records().await.into_iter().map(|record| record.payload.to_string()));
    for path in [page.as_str(), "/admin/channels", "/admin/system", "/history"] {
        kept.push(stage.adam.open(path).await.body);
    }
    for text in kept {
        assert!(!text.contains("hunter2") && !text.contains(&secret[6..]), "{text}");
        assert!(!text.contains(&hex::encode("hunter2")) && !text.contains(&hex::encode(&secret)), "{text}");
    }
    stage.finish().await;
}
