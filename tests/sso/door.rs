//! Who gets in, who does not, and what they are told: somebody new, somebody disabled, and everybody where passwords are
//! off.

use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::harness::{Portal, email, password};
use crate::provider::Provider;
use crate::trip::{MAPPED, ana, count, leave, portal_with, run, sign_in, text};

#[tokio::test(flavor = "multi_thread")]
async fn somebody_new_gets_an_account_at_their_first_sign_in_and_finds_it_again_at_the_next() {
    // S-21, S-22
    let (portal, provider) = portal_with(MAPPED).await;
    let browser = portal.anonymous();
    let page = browser.open("/history?pipeline=shop").await;
    let page = browser.follow(&page).await;
    let page = browser.submit(&page, "/sign-in/sso/corp", &[]).await;
    let back = provider.agree(&crate::trip::leads_to(&page), ana());
    let page = browser.open(&back).await;
    assert_eq!((page.status, page.location()), (303, Some("/history?pipeline=shop")), "back to where they were going");
    browser.open("/me").await.says("Ana Ruiz").says("ana@corp.example").says("approver");
    let records = portal.records().await;
    let kinds: Vec<&str> = records.iter().skip(1).map(|record| record.kind.as_str()).collect();
    assert_eq!(kinds, ["account.created", "identity.linked", "session.started"]);
    let (created, linked, started) = (&records[1], &records[2], &records[3]);
    assert_eq!((created.actor.as_str(), &created.payload["provider"]), ("system", &json!("corp")));
    assert_eq!(created.payload["roles"], json!(["approver"]));
    assert_eq!((&linked.payload["issuer"], &linked.payload["subject"]), (&json!(provider.issuer()), &json!("ana-1")));
    assert_eq!(started.payload["method"], "sso:corp");

    // Whatever they are called by then: who they are is issuer and subject.
    let mut renamed = ana();
    renamed["email"] = json!("ana.ruiz@corp.example");
    let other = portal.anonymous();
    assert_eq!(sign_in(&other, ("corp", &provider), renamed).await.status, 303);
    assert_eq!(count(&portal, "select count(*) from portal.account where email like 'ana%'").await, 1);
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 2);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_reads_the_same_whatever_the_reason() {
    // S-10, S-21
    let (portal, provider) = portal_with(MAPPED).await;
    portal.create_account("ben", &[]).await;
    let claims = |changes: Value| {
        let mut claims = ana();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    assert_eq!(
        sign_in(&portal.anonymous(), ("corp", &provider), claims(json!({ "sub": "dora", "email": "dora@x.org" })))
            .await
            .status,
        303
    );
    let dora = portal.state.accounts.find_by_email("dora@x.org").await.unwrap().unwrap();
    portal.state.accounts.disable(&countersign::accounts::By::Operator, dora).await.unwrap();
    let refused = [
        ("disabled", json!({ "sub": "dora", "email": "dora@x.org" })),
        // S-21: the same e-mail is not the same person.
        ("the e-mail of another account", json!({ "email": email("ben") })),
        ("an e-mail that nobody verified", json!({ "email_verified": false })),
        ("an e-mail of which nobody says so", json!({ "email_verified": null })),
        ("no e-mail", json!({ "email": null })),
        ("an e-mail that is none", json!({ "email": "ana" })),
        ("in no group that is mapped", json!({ "groups": ["guests"] })),
        ("in no group", json!({ "groups": [] })),
    ];
    provider.twist(|twist| twist.user_info = json!({ "sub": "ana-1" }));
    let mut said = Vec::new();
    for (what, changes) in refused {
        let browser = portal.anonymous();
        let page = sign_in(&browser, ("corp", &provider), claims(changes)).await;
        assert_eq!(page.status, 403, "{what}: {}", page.text());
        assert!(browser.cookie("countersign").is_none(), "{what}");
        said.push(page.text().split("Number").next().unwrap().split("number").next().unwrap().to_owned());
    }
    assert!(said[0].contains("CORP knows you, but you cannot sign in here with it"), "{}", said[0]);
    let heads: Vec<&str> = said.iter().map(|text| text.split("My account").next().unwrap()).collect();
    assert!(heads.iter().all(|head| *head == heads[0]), "{said:#?}");
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 0, "dora's own ended");
    assert_eq!(count(&portal, "select count(*) from portal.identity").await, 1);
    let failed =
        portal.records().await.into_iter().filter(|record| record.kind == "sign_in.failed").collect::<Vec<_>>();
    assert_eq!(failed.len(), 1, "who has no account has no record, only a count");
    assert_eq!(failed[0].payload["why"], "disabled");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_deleted_does_not_come_back_as_somebody_new() {
    // S-27, S-35: the provider goes on knowing them for a while.
    let (portal, provider) = portal_with(MAPPED).await;
    let mut claims = ana();
    claims["sub"] = json!("ana@corp.example");
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), claims.clone()).await.status, 303);
    let ana = portal.state.accounts.find_by_email("ana@corp.example").await.unwrap().unwrap();
    assert!(portal.state.accounts.delete(&countersign::accounts::By::Operator, ana).await.unwrap());
    let accounts = count(&portal, "select count(*) from portal.account").await;

    let browser = portal.anonymous();
    let page = sign_in(&browser, ("corp", &provider), claims.clone()).await;
    assert_eq!(page.status, 403, "{}", page.text());
    page.says("CORP knows you, but you cannot sign in here with it");
    assert!(browser.cookie("countersign").is_none());
    assert_eq!(count(&portal, "select count(*) from portal.account").await, accounts);
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 0);
    let names = "select count(*) from portal.identity where subject like '%ana%'";
    assert_eq!(count(&portal, names).await, 0, "and what the provider calls them is forgotten");
    let failed = portal.records().await.pop().unwrap();
    assert_eq!((failed.kind.as_str(), &failed.payload["person"]), ("sign_in.failed", &json!(ana)));

    // Whoever is invited anew, and proves at the provider that it is them, has their identity again.
    let again = portal.as_approver("ana2").await;
    let page = crate::linking::link(&again, ("corp", &provider), claims.clone()).await;
    assert_eq!(page.status, 303, "{}", page.text());
    let browser = portal.anonymous();
    assert_eq!(sign_in(&browser, ("corp", &provider), claims).await.status, 303);
    browser.open("/me").await.says(&email("ana2"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_only_where_that_is_wanted_and_the_first_never() {
    // S-07
    let (portal, provider) = portal_with("create_accounts = false").await;
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 403);
    portal.finish().await;

    let provider = Provider::start().await;
    let portal = Portal::start_with(&provider.config("corp", "roles = { leads = \"admin\" }")).await;
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 403, "nobody set the portal up");
    assert_eq!(count(&portal, "select count(*) from portal.account").await, 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_may_be_trusted_with_addresses_and_may_tell_them_apart_from_the_token() {
    let (portal, provider) = portal_with("email_verified = \"assumed\"").await;
    let ana = json!({ "sub": "ana-1" });
    provider.twist(|twist| {
        twist.user_info =
            json!({ "sub": "ana-1", "email": "ana@corp.example", "given_name": "Ana", "family_name": "Ruiz" });
    });
    let browser = portal.anonymous();
    assert_eq!(sign_in(&browser, ("corp", &provider), ana).await.status, 303);
    browser.open("/me").await.says("Ana Ruiz").says("none yet");
    // Without mapping everybody there belongs here, and has what admins give.
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_says_of_a_second_factor_what_the_provider_vouches_for() {
    // S-15, S-22
    let factor = "select factor from portal.session order by started_at desc, id desc limit 1";
    let cases = [
        ("", json!({ "amr": ["pwd"] }), None),
        ("", json!({ "amr": ["pwd", "mfa"] }), Some("sso")),
        ("", json!({}), None),
        ("factor_amr = []\nfactor_acr = [\"two\"]", json!({ "acr": "two", "amr": ["pwd"] }), Some("sso")),
        ("factor_amr = []\nfactor_acr = [\"two\"]", json!({ "acr": "one", "amr": ["mfa"] }), None),
        ("second_factor = \"always\"", json!({}), Some("sso")),
        ("second_factor = \"never\"", json!({ "amr": ["mfa"] }), None),
    ];
    for (config, claims, expected) in cases {
        let (portal, provider) = portal_with(config).await;
        provider.twist(|twist| twist.token = claims.clone());
        assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 303);
        assert_eq!(text(&portal, factor).await.as_deref(), expected, "{config} {claims}");
        portal.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_passwords_are_off_only_accounts_for_emergencies_have_one_and_nobody_learns_which() {
    // S-10
    let (portal, provider) = portal_with("[sign_in]\nlocal = false").await;
    portal.create_account("eve", &[]).await;
    run(&portal, "update portal.account set break_glass = true where email = 'eve@example.com'").await;
    let try_as = async |name: &str, password: &str| {
        let browser = portal.anonymous();
        let page = browser.open("/sign-in").await;
        let buttons = page.body.find("Sign in with CORP").unwrap();
        assert!(buttons < page.body.find("Emergency sign-in").unwrap(), "the provider comes first");
        browser.submit(&page, "/sign-in", &[("email", &email(name)), ("password", password)]).await
    };
    let olga = try_as("olga", &password("olga")).await;
    let unknown = try_as("nobody", &password("olga")).await;
    let wrong = try_as("eve", "not the password at all").await;
    for page in [&olga, &unknown, &wrong] {
        assert_eq!(page.status, 401);
        page.says("Only accounts for emergencies have a password here");
    }
    assert_eq!(olga.text(), unknown.text());
    assert_eq!(olga.text(), wrong.text());
    assert_eq!(try_as("eve", &password("eve")).await.status, 303);
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), ana()).await.status, 303);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_without_a_password_is_not_offered_to_change_it_where_there_are_none() {
    let (portal, provider) = portal_with("[sign_in]\nlocal = false").await;
    let browser = portal.anonymous();
    sign_in(&browser, ("corp", &provider), ana()).await;
    let page = browser.open("/me").await;
    assert!(!page.text().contains("Current password"), "{}", page.text());
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_up_password_goes_when_its_person_comes_in_without_it() {
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    sign_in(&browser, ("corp", &provider), ana()).await;
    run(
        &portal,
        "update portal.account set must_change_password = true, password_phc = 'x', roles = '{approver}'
         where email = 'ana@corp.example'",
    )
    .await;
    let browser = portal.anonymous();
    assert_eq!(sign_in(&browser, ("corp", &provider), ana()).await.status, 303);
    assert_eq!(browser.open("/").await.status, 200, "nothing is to be changed first");
    assert_eq!(count(&portal, "select count(*) from portal.account where password_phc = 'x'").await, 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_in_again_ends_the_session_before_and_tries_are_limited_by_address() {
    // S-13, S-25
    let (portal, provider) = portal_with("").await;
    let browser = portal.anonymous();
    sign_in(&browser, ("corp", &provider), ana()).await;
    let old = browser.cookie("countersign").unwrap();
    let csrf = browser.open("/me").await.csrf();
    let page = browser.post("/sign-in/sso/corp", &[("csrf", &csrf)]).await;
    let page = browser.open(&provider.agree(&crate::trip::leads_to(&page), ana())).await;
    assert_eq!(page.status, 303);
    assert_ne!(browser.cookie("countersign").unwrap(), old);
    assert_eq!(count(&portal, "select count(*) from portal.session").await, 1);
    let stranger = portal.anonymous();
    for _ in 0..10 {
        leave(&stranger, "corp").await;
    }
    let page = stranger.open("/sign-in").await;
    let page = stranger.submit(&page, "/sign-in/sso/corp", &[]).await;
    assert_eq!(page.status, 429);
    assert!(page.header("retry-after").is_some());
    assert!(count(&portal, "select count(*) from portal.ceremony").await <= 8, "one browser keeps a few");
    portal.advance(SignedDuration::from_mins(11));
    portal.state.accounts.sweep_ceremonies().await.unwrap();
    assert_eq!(count(&portal, "select count(*) from portal.ceremony").await, 0, "what is over is swept out");
    portal.finish().await;
}
