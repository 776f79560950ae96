//! Gates that ask for fresh proof of who decides (S-18): by a passkey's signature under the decision, or by a session that
//! has just been proven. What the person sees, what AWS is sent, and what an auditor can check from the record alone.

use countersign::audit::{self, Kind, Payload, proof};
use countersign::database::Role as Login;
use countersign::decisions::{Ask, Channel, DecideError, new_form_key};
use countersign::domain::decision::Verdict;
use countersign::domain::people::{Approver, Person};
use countersign::domain::shown::Fingerprint;
use countersign::random::Random;
use countersign::simulator::Act;
use jiff::SignedDuration;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::factors::portal_with_a_name;
use crate::harness::{Browser, Page, Portal};
use crate::support::authenticator::Authenticator;
use crate::support::postgres::TestDatabase;

const PUT: &str = "PutApprovalResult";

/// Decisions at the gates of this pipeline ask for proof.
async fn mark(portal: &Portal, pipeline: &str, tag: Option<(&str, &str)>) {
    let mut conn = portal.database.connect_superuser().await;
    sqlx::query(
        "insert into portal.step_up_gate (id, source, pipeline, stage, action, tag_key, tag_value, from_at)
         values (gen_random_uuid(), '*', $1, '*', '*', $2, $3, now())",
    )
    .bind(pipeline)
    .bind(tag.map(|(key, _)| key))
    .bind(tag.map(|(_, value)| value))
    .execute(&mut conn)
    .await
    .unwrap();
}

/// Presses a button as the page's script does, once the key has signed.
async fn press_signed(browser: &Browser, page: &Page, key: &mut Authenticator, verdict: &str, summary: &str) -> Page {
    let action = format!("{}/decision", page.path);
    let fields = page.hidden_fields(&action);
    let asked =
        [("csrf", fields["csrf"].as_str()), ("fingerprint", fields["fingerprint"].as_str()), ("verdict", verdict)];
    let (ceremony, options) = browser.ask(&format!("{}/challenge", page.path), &asked).await;
    let answer = key.prove(&options);
    let signed = [("verdict", verdict), ("summary", summary), ("ceremony", &ceremony), ("credential", &answer)];
    browser.submit(page, &action, &signed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_signs_the_decision_and_the_record_proves_it() {
    let portal = portal_with_a_name().await;
    mark(&portal, "sh*", None).await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let (mut key, _) = ana.add_passkey("Key on my ring").await;
    portal.advance(SignedDuration::from_mins(6));
    let page = ana.approval(&portal, "shop").await;
    page.says("This gate asks for fresh proof that it is you.").says("the signature goes into the record");
    let sent = press_signed(&ana, &page, &mut key, "approved", "Checked on staging").await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    assert_eq!(portal.simulator.effects().len(), 1);

    let intended = portal.records_of("decision.intended").await.remove(0).payload;
    let told = &intended["step_up"];
    assert_eq!((&told["by"], &told["name"]), (&Value::from("passkey"), &Value::from("Key on my ring")));
    assert_eq!(told["rp_id"], "localhost");
    let added = portal.records_of("factor.added").await.remove(0).payload;
    assert_eq!(told["public_key"], added["public_key"], "the key is the one that was added");
    assert_eq!(proof::check(&intended.to_string()), Ok(true));
    for (member, value, why) in [
        ("verdict", "rejected", "what was signed is another decision"),
        ("fingerprint", &"ab".repeat(32), "the fingerprint is not that of what was shown"),
    ] {
        let mut other = intended.clone();
        other[member] = Value::from(value);
        assert_eq!(proof::check(&other.to_string()), Err(why), "{member}");
    }
    for (member, why) in [
        ("rp_id", "the signature is for another host name"),
        ("nonce", "what was signed is another decision"),
        ("signature", "the signature is wrong"),
    ] {
        let mut other = intended.clone();
        let value = told[member].as_str().unwrap();
        let changed =
            if member == "rp_id" { "evil.example".to_owned() } else { format!("{}AAAA", &value[..value.len() - 4]) };
        other["step_up"][member] = Value::from(changed);
        let said = proof::check(&other.to_string()).unwrap_err();
        assert!(said == why || said == "a member is not base64url", "{member}: {said}");
    }
    portal.finish().await;
}

/// Writes what only a portal that lies would write, into a copy of its database, and says what verifying finds.
async fn lie(database: &TestDatabase, records: &[(Kind, &Value)]) -> Result<(), String> {
    let database = database.copy().await;
    let mut conn = database.connect(Login::App).await;
    for (kind, told) in records {
        let payload = Payload::new(&Random::seeded(1), told).unwrap();
        audit::append(&mut conn, *kind, "system", &payload).await.unwrap();
    }
    match audit::verify::verify(&mut conn).await.unwrap() {
        audit::Verdict::Intact(_) => Ok(()),
        audit::Verdict::Broken(broken) => Err(broken.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_signs_with_a_key_its_person_does_not_have_is_found_out() {
    let portal = portal_with_a_name().await;
    mark(&portal, "*", None).await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let (mut key, _) = ana.add_passkey("Key on my ring").await;
    let page = ana.approval(&portal, "shop").await;
    let sent = press_signed(&ana, &page, &mut key, "approved", "Checked on staging").await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    let [mut signed, mut added] =
        [portal.records_of("decision.intended").await.remove(0), portal.records_of("factor.added").await.remove(0)]
            .map(|record| record.payload);
    for told in [&mut signed, &mut added] {
        told.as_object_mut().unwrap().remove("salt");
    }
    let (database, _aws) = portal.stop().await;
    lie(&database, &[(Kind::DecisionIntended, &signed)]).await.unwrap();

    let never = "no record before it tells that its person had that key";
    let removed =
        lie(&database, &[(Kind::FactorRemoved, &added), (Kind::DecisionIntended, &signed)]).await.unwrap_err();
    assert!(removed.starts_with("proof: ") && removed.ends_with(never), "{removed}");
    let reset = json!({ "person": added["person"], "factor": "all" });
    let reset = lie(&database, &[(Kind::FactorRemoved, &reset), (Kind::DecisionIntended, &signed)]).await.unwrap_err();
    assert!(reset.ends_with(never), "{reset}");
    let somebody = Value::from(Uuid::from_u128(7).to_string());
    for (place, value, why) in [
        ("/person", &somebody, never),
        ("/step_up/passkey", &somebody, never),
        ("/step_up/credential", &somebody, never),
        ("/shown/pipeline", &Value::from("another"), "the fingerprint is not that of what was shown"),
    ] {
        let mut other = signed.clone();
        *other.pointer_mut(place).unwrap() = value.clone();
        let found = lie(&database, &[(Kind::DecisionIntended, &other)]).await.unwrap_err();
        assert!(found.ends_with(why), "{place}: {found}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_under_one_decision_is_none_under_another() {
    // S-17, S-18
    let portal = portal_with_a_name().await;
    mark(&portal, "*", None).await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let ana = portal.as_approver("ana").await;
    let (mut key, _) = ana.add_passkey("Key").await;
    portal.advance(SignedDuration::from_mins(6));
    let (shop, blog) = (ana.approval(&portal, "shop").await, ana.approval(&portal, "blog").await);
    let signed = async |page: &Page, key: &mut Authenticator, verdict: &str| {
        let fields = page.hidden_fields(&format!("{}/decision", page.path));
        let asked = [("csrf", fields["csrf"].as_str()), ("fingerprint", &fields["fingerprint"]), ("verdict", verdict)];
        let (ceremony, options) = ana.ask(&format!("{}/challenge", page.path), &asked).await;
        let answer = key.prove(&options);
        (ceremony, answer)
    };
    let post = async |page: &Page, verdict: &str, ceremony: &str, answer: &str| {
        let fields = [("verdict", verdict), ("summary", "I mean it"), ("ceremony", ceremony), ("credential", answer)];
        ana.submit(page, &format!("{}/decision", page.path), &fields).await
    };
    // Signed an approval, sent as a rejection.
    let (ceremony, answer) = signed(&shop, &mut key, "approved").await;
    let refused = post(&shop, "rejected", &ceremony, &answer).await;
    assert_eq!((refused.status, refused.heading()), (403, "Prove that it is you".to_owned()));
    assert_eq!(refused.hidden_fields("/step-up")["kept.summary"], "I mean it");
    // Signed here, sent there; and what was looked at once is gone.
    let (ceremony, answer) = signed(&shop, &mut key, "approved").await;
    assert_eq!(post(&blog, "approved", &ceremony, &answer).await.status, 403);
    assert_eq!(post(&shop, "approved", &ceremony, &answer).await.status, 403);
    // Without its person.
    key.verified = false;
    let (ceremony, answer) = signed(&shop, &mut key, "approved").await;
    assert_eq!(post(&shop, "approved", &ceremony, &answer).await.status, 403);
    assert_eq!(portal.records_of("factor.refused").await.pop().unwrap().payload["at"], "deciding");
    key.verified = true;
    assert_eq!(portal.simulator.count(PUT), 0);
    let attempts = portal.records_of("decision.attempt_refused").await;
    assert_eq!(attempts.len(), 4);
    assert!(attempts.iter().all(|attempt| attempt.payload["outcome"] == "step_up_needed"), "{attempts:?}");
    let (ceremony, answer) = signed(&shop, &mut key, "approved").await;
    assert_eq!(post(&shop, "approved", &ceremony, &answer).await.status, 303);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_script_a_code_is_asked_for_and_what_was_written_is_kept() {
    let portal = Portal::start().await;
    mark(&portal, "shop", None).await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let ana = portal.as_approver("ana").await;
    portal.add_app(&ana, "ana").await;
    portal.advance(SignedDuration::from_mins(6));
    ana.approval(&portal, "shop").await.says("When you have pressed a button you are asked for it");
    let asked = ana.decide(&portal, "shop", "approved", "Checked <on> staging").await;
    assert_eq!((asked.status, asked.heading()), (403, "Prove that it is you".to_owned()));
    assert_eq!(portal.simulator.count(PUT), 0);
    let code = portal.code_of("ana").await;
    let page = ana.submit(&asked, "/step-up", &[("code", &code)]).await;
    assert_eq!((page.status, page.heading()), (200, "<bdi>shop</bdi>".to_owned()), "what is decided is read once more");
    page.says("Nothing was sent yet.").says("Checked <on> staging").says("You gave it a moment ago");
    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    let fields = [("verdict", "approved"), ("summary", "Checked <on> staging")];
    let sent = ana.submit(&page, &format!("{path}/decision"), &fields).await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    let intended = portal.records_of("decision.intended").await.remove(0).payload;
    assert_eq!(
        (&intended["step_up"]["by"], &intended["step_up"]["with"]),
        (&Value::from("session"), &Value::from("totp"))
    );
    assert_eq!(proof::check(&intended.to_string()), Ok(false), "there is no signature to check");
    // A gate that is not marked asks for nothing, however long ago the last proof was.
    portal.advance(SignedDuration::from_mins(6));
    assert_eq!(ana.decide(&portal, "blog", "approved", "").await.status, 303);
    let intended = portal.records_of("decision.intended").await.remove(1).payload;
    assert!(intended.get("step_up").is_none());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_channel_decides_at_a_marked_gate_without_proof() {
    let portal = Portal::start().await;
    mark(&portal, "shop", None).await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let page = ana.approval(&portal, "shop").await;
    let fingerprint = page.hidden_fields(&format!("{}/decision", page.path))["fingerprint"].clone();
    let cookie = ana.cookie("countersign").unwrap();
    let here = "192.0.2.1".parse().unwrap();
    let (person, _) = portal.state.accounts.person(&cookie, here, true).await.unwrap().unwrap();
    // As a token of hers acts: as her, with no session that was ever proven.
    let by = Approver::of(&Person { stepped_up_at: None, ..person }).unwrap();
    let ask = Ask {
        approval: portal.approval_id("shop").await.parse().unwrap(),
        fingerprint: Fingerprint::parse(&fingerprint).unwrap(),
        verdict: Verdict::Approved,
        summary: "By a program".into(),
        key: new_form_key(&portal.state.random),
        channel: Channel::Api,
        proof: None,
        mail: None,
    };
    let refused = portal.state.decisions.decide(&by, ask).await.unwrap_err();
    assert!(matches!(refused, DecideError::StepUpNeeded { why: None }), "{refused:?}");
    assert_eq!(portal.simulator.count(PUT), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_by_tag_holds_also_while_the_tags_are_not_known() {
    // What cannot be read asks for more, never for less.
    let portal = Portal::start().await;
    mark(&portal, "*", Some(("tier", "gold*"))).await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    portal.advance(SignedDuration::from_mins(6));
    let asks = "This gate asks for fresh proof that it is you.";
    let mut conn = portal.database.connect_superuser().await;
    // The watcher could not read them for an hour.
    let sql = "update portal.pipeline_tags set read_at = '2026-11-21T07:00:00Z'";
    sqlx::query(sql).execute(&mut conn).await.unwrap();
    ana.approval(&portal, "shop").await.says(asks);
    let tag = async |conn: &mut sqlx::PgConnection, tags: &str| {
        sqlx::query(
            "insert into portal.pipeline_tags (source, pipeline, tags, from_at, read_at)
             values ('default', 'shop', $1::jsonb, now(), now())
             on conflict (source, pipeline) where until_at is null do update set tags = excluded.tags, read_at = excluded.read_at",
        )
        .bind(tags)
        .execute(conn)
        .await
        .unwrap();
    };
    tag(&mut conn, r#"{"tier": "silver"}"#).await;
    assert!(!ana.approval(&portal, "shop").await.text().contains(asks));
    // S-32: a decision goes by what AWS says now, not by what was read a while ago.
    let tags = [("tier".to_owned(), "gold".to_owned())].into();
    portal.world().act(Act::Tag { pipeline: "shop".into(), tags }).unwrap();
    let asked = ana.decide(&portal, "shop", "approved", "Looks right").await;
    assert_eq!(asked.status, 403, "{}", asked.text());
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    tag(&mut conn, r#"{"tier": "golden"}"#).await;
    ana.approval(&portal, "shop").await.says(asks);
    portal.finish().await;
}
