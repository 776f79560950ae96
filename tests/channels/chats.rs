//! What chats are told: what belongs together at once, what became of it afterwards, and nothing that anybody could press.

use countersign::simulator::{Act, Commit};
use jiff::SignedDuration;
use serde_json::Value;

use crate::server::Answer;
use crate::stage::{PROGRAM, SLACK, Stage, TEAMS};

/// Everything that is written in a message.
fn texts(body: &Value) -> String {
    match body {
        Value::String(text) => format!("{text}\n"),
        Value::Array(all) => all.iter().map(texts).collect(),
        Value::Object(all) => all.values().map(texts).collect(),
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_openings_are_one_message_with_a_list() {
    let stage = Stage::start().await;
    for address in [SLACK, TEAMS] {
        stage.takes(address);
    }
    stage.make("slack", "releases", SLACK, "").await;
    stage.make("teams", "Teams", TEAMS, "shop").await;
    stage.portal.waiting("shop").await;
    stage.open_more("shop", 24).await;
    stage.tell().await;
    assert!(stage.server.asked().is_empty(), "what else comes is waited for");
    // Ten seconds after the first.
    stage.portal.advance(SignedDuration::from_secs(10));
    stage.open_more("shop", 25).await;
    stage.tell().await;
    for address in [SLACK, TEAMS] {
        let bodies = stage.bodies_to(address);
        assert_eq!(bodies.len(), 1);
        let text = texts(&bodies[0]);
        assert!(text.contains("Waiting for a decision: 50."), "{text}");
        let shown = text.matches("https://sign.example/approvals/").count();
        assert!(shown > 1 && text.contains(&format!("And {} more.", 50 - shown)), "{shown}: {text}");
    }
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_of_an_approval_is_another_message_and_neither_has_anything_to_press() {
    let stage = Stage::start().await;
    for address in [SLACK, TEAMS] {
        stage.takes(address);
    }
    stage.make("slack", "releases", SLACK, "shop").await;
    stage.make("teams", "Teams", TEAMS, "shop").await;
    stage.portal.waiting("shop").await;
    stage.portal.waiting("blog").await;
    stage.tell_chats().await;
    stage.approve("shop").await;
    stage.tell_chats().await;
    let page = format!("https://sign.example/approvals/{}", stage.portal.approval_id("shop").await);
    for address in [SLACK, TEAMS] {
        let bodies = stage.bodies_to(address);
        assert_eq!(bodies.len(), 2, "{address}");
        let (first, second) = (texts(&bodies[0]), texts(&bodies[1]));
        assert!(first.contains("Waiting for a decision: shop, Release in Production"), "{first}");
        assert!(first.contains("Free shipping") && first.contains("Decide by") && first.contains(&page), "{first}");
        assert!(second.contains("Approved: shop, Release in Production") && second.contains(&page), "{second}");
        for body in &bodies {
            let body = body.to_string();
            assert!(!body.contains("button") && !body.contains("Action.Submit") && !body.contains("blog"), "{body}");
            // What AWS was given as an address is none here.
            assert!(!body.contains("review.example"), "{body}");
        }
    }
    let slack = stage.sent_to(SLACK).pop().unwrap().body;
    assert!(slack.contains("Looks good") && !slack.contains("<!channel>"), "{slack}");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_decided_before_it_could_be_told_is_told_as_decided() {
    let stage = Stage::start().await;
    stage.takes(SLACK);
    stage.make("slack", "releases", SLACK, "shop").await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    stage.approve("shop").await;
    stage.tell_chats().await;
    let bodies = stage.bodies_to(SLACK);
    assert_eq!(bodies.len(), 1);
    assert!(!texts(&bodies[0]).contains("Waiting"), "{}", texts(&bodies[0]));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_somebody_wrote_calls_nobody_marks_nothing_and_fits() {
    // U-02, U-03: a hundred kilobytes of it.
    let stage = Stage::start().await;
    for address in [SLACK, TEAMS, PROGRAM] {
        stage.takes(address);
    }
    stage.make("slack", "releases", SLACK, "").await;
    stage.make("teams", "Teams", TEAMS, "").await;
    stage.make("webhook", "Board", PROGRAM, "").await;
    let hostile = "<!channel> <!here|x> @here @Channel <@U1> *b* `c` [Approve](https://evil.example) &\u{202e}\u{200b}\"\
                   <https://evil.example|Approve>\r\nApproved by nobody\u{1b}[31m<at>all</at>";
    let long = hostile.repeat(800);
    assert!(long.len() > 100_000);
    stage.portal.world().edit_comment("shop", &long);
    let commit = Commit { id: None, message: long.clone(), author: Some(long) };
    stage.portal.world().open_approval("shop", Some(commit)).unwrap();
    stage.portal.watcher.activate().await;
    stage.tell_chats().await;
    let ended = "create function pg_temp.hostile() returns text language sql return
            repeat(E'<!here> @channel *x*\\r\\nBcc: evil\\u202e\\u001b[31m&\"', 3000);
        update portal.approval set at_aws = 'rejected', closed_at = '2026-11-21T08:05:00Z', decided = 'elsewhere',
            decided_by = pg_temp.hostile(), decided_summary = pg_temp.hostile(), closed_why = pg_temp.hostile()";
    sqlx::raw_sql(ended).execute(&mut stage.portal.database.connect_superuser().await).await.unwrap();
    stage.tell_chats().await;
    for address in [SLACK, TEAMS] {
        let bodies = stage.bodies_to(address);
        assert_eq!(bodies.len(), 2, "{address}");
        for body in bodies {
            assert!(body.to_string().len() < 28_000, "{}", body.to_string().len());
            let text = texts(&body).to_lowercase();
            assert!(!text.contains(['\u{202e}', '\u{1b}', '\u{200b}', '\r']), "{text}");
            assert!(
                !text.lines().any(|line| line.starts_with("approved by nobody") || line.starts_with("bcc:")),
                "{text}"
            );
            if address == SLACK {
                let ours = text.matches("<https://sign.example/").count();
                assert_eq!((text.matches('<').count(), text.matches('>').count()), (ours, ours), "{text}");
                assert!(!text.contains("@here") && !text.contains("@channel"), "{text}");
                let blocks = body["blocks"].as_array().unwrap();
                let sections = blocks.iter().filter(|block| block["type"] == "section").map(|block| &block["text"]);
                for section in sections {
                    assert_eq!(section["type"], "plain_text");
                    assert!(section["text"].as_str().unwrap().chars().count() <= 3_000);
                }
            } else {
                let card = &body["attachments"][0]["content"];
                let parts = card["body"].as_array().unwrap();
                assert!(
                    parts.iter().all(|part| part["type"] == "RichTextBlock" && part.get("text").is_none()),
                    "{card}"
                );
            }
        }
    }
    let told = stage.sent_to(PROGRAM);
    assert_eq!(stage.types_to(PROGRAM), ["approval.waiting", "approval.decided"]);
    assert!(told.iter().all(|asked| asked.body.len() < 100_000));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_is_told_of_a_source_that_stays_blind_and_that_it_sees_again() {
    let stage = Stage::start().await;
    stage.takes(SLACK);
    stage.make("slack", "releases", SLACK, "").await;
    stage.make_of("slack", "others", "https://hooks.slack.com/services/T0/B1/hunter2", "source=other").await;
    stage.portal.world().deny("ListPipelines", None);
    stage.portal.watcher.activate().await;
    for _ in 0..6 {
        stage.portal.advance(SignedDuration::from_mins(1));
        stage.tell_chats().await;
    }
    stage.portal.simulator.clear_faults();
    stage.portal.watcher.activate().await;
    stage.tell_chats().await;
    let bodies: Vec<String> = stage.bodies_to(SLACK).iter().map(texts).collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[0].contains("Cannot be read: source default"), "{}", bodies[0]);
    assert!(bodies[0].contains("codepipeline:ListPipelines"), "{}", bodies[0]);
    assert!(bodies[1].contains("Can be read again: source default"), "{}", bodies[1]);
    assert_eq!(stage.server.asked().len(), 2, "who is told of another source is not told of this one");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_blindness_that_nobody_was_told_of_nobody_is_told_that_it_is_over() {
    let stage = Stage::start().await;
    for address in [SLACK, PROGRAM] {
        stage.takes(address);
    }
    stage.make("slack", "releases", SLACK, "").await;
    stage.make("webhook", "Board", PROGRAM, "").await;
    let blind_for = async |time: SignedDuration| {
        stage.portal.world().deny("ListPipelines", None);
        stage.portal.watcher.activate().await;
        stage.tell_chats().await;
        stage.portal.advance(time);
        stage.tell_chats().await;
        stage.portal.simulator.clear_faults();
        stage.portal.watcher.activate().await;
        for _ in 0..3 {
            stage.tell_chats().await;
            stage.portal.advance(SignedDuration::from_mins(1));
        }
    };
    blind_for(SignedDuration::from_secs(10)).await;
    assert!(stage.server.asked().is_empty(), "{:?}", stage.types_to(PROGRAM));
    blind_for(SignedDuration::from_mins(2)).await;
    assert_eq!(stage.types_to(PROGRAM), ["source.blind", "source.seen"]);
    assert_eq!(stage.sent_to(SLACK).len(), 2);
    blind_for(SignedDuration::from_secs(10)).await;
    assert_eq!((stage.types_to(PROGRAM).len(), stage.sent_to(SLACK).len()), (2, 2), "another time is another matter");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_what_is_over_by_now_is_not_told_once_its_chat_is_back() {
    let mut stage = Stage::start().await;
    stage.answers(SLACK, Answer::status(503));
    let (page, _) = stage.make("slack", "releases", SLACK, "shop").await;
    stage.portal.waiting("shop").await;
    stage.tell_chats().await;
    stage.portal.advance(SignedDuration::from_mins(2));
    stage.tell_chats().await;
    let tried = stage.sent_to(SLACK).len();
    assert!(tried > 0);
    stage.approve("shop").await;
    stage.takes(SLACK);
    for _ in 0..3 {
        stage.portal.advance(SignedDuration::from_mins(1));
        stage.tell_chats().await;
    }
    let bodies: Vec<String> = stage.bodies_to(SLACK)[tried..].iter().map(texts).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(bodies[0].contains("Approved: shop") && !bodies[0].contains("Waiting"), "{}", bodies[0]);
    // Whoever wants it all the same has it.
    let given_up = "select id::text from portal.channel_delivery where given_up_at is not null";
    let id = stage.texts(given_up).await.pop().unwrap();
    stage.adam = stage.portal.sign_in_again("adam").await;
    assert_eq!(stage.press(&page, &format!("/deliveries/{id}/again")).await, 303);
    stage.tell_chats().await;
    assert!(texts(&stage.bodies_to(SLACK).pop().unwrap()).contains("Waiting for a decision: shop"));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_is_of_use_until_the_last_deadline_and_the_rest_for_three_days() {
    let stage = Stage::start().await;
    for address in [SLACK, PROGRAM] {
        stage.takes(address);
    }
    stage.make("slack", "releases", SLACK, "").await;
    stage.make("webhook", "Board", PROGRAM, "").await;
    stage.portal.waiting("shop").await;
    stage.portal.waiting("blog").await;
    let near = "update portal.approval set expires_at = seen_open_at + case pipeline
        when 'shop' then interval '90 minutes' else interval '3 minutes' end";
    sqlx::raw_sql(near).execute(&mut stage.portal.database.connect_superuser().await).await.unwrap();
    stage.tell_chats().await;
    let of_use = "select kind || ' ' || tells || ' ' || (useless_at - made_at)::text
        from portal.channel_delivery d join portal.channel c on c.id = d.channel_id order by 1";
    assert_eq!(
        stage.texts(of_use).await,
        [
            "slack several 01:29:50",
            "webhook last_hour 00:05:00",
            "webhook waiting 00:05:00",
            "webhook waiting 01:30:00"
        ]
    );
    stage.approve("shop").await;
    stage.tell_chats().await;
    assert!(stage.texts(of_use).await.contains(&"slack decided 3 days".to_owned()));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tag_tells_a_channel_of_is_told_as_soon_as_the_tags_are_read() {
    let stage = Stage::start().await;
    stage.takes(SLACK);
    let tags = [("team".to_owned(), "shop".to_owned())].into();
    stage.portal.world().act(Act::Tag { pipeline: "shop".into(), tags }).unwrap();
    stage.portal.world().deny("ListTagsForResource", None);
    stage.make_of("slack", "releases", SLACK, "tag_key=team&tag_value=sh*").await;
    stage.portal.waiting("shop").await;
    stage.portal.waiting("blog").await;
    stage.tell_chats().await;
    stage.portal.advance(SignedDuration::from_mins(2));
    stage.tell_chats().await;
    assert!(stage.server.asked().is_empty(), "while it is not known, it waits");
    stage.portal.simulator.clear_faults();
    for _ in 0..5 {
        stage.portal.advance(SignedDuration::from_mins(1));
        stage.portal.watcher.activate().await;
        stage.tell_chats().await;
    }
    let bodies: Vec<String> = stage.bodies_to(SLACK).iter().map(texts).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert!(bodies[0].contains("shop, Release in Production") && !bodies[0].contains("blog"), "{}", bodies[0]);
    stage.finish().await;
}
