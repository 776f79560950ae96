//! Forgotten passwords, and what people are told by mail.

use std::time::Duration;

use countersign::accounts::By;
use countersign::accounts::admin::AdminError;
use countersign::accounts::invitations::NewPerson;
use countersign::accounts::links::LinkError;
use countersign::accounts::resets::AskError;
use countersign::accounts::sign_in::SignInError;
use countersign::domain::people::{Role, Roles};
use countersign::store;
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, WRONG, code_of, fresh_address, origin};
use crate::support::smtp::Sink;

const NEW: &str = "one two buckle my shoe";

async fn ask(house: &House, email: &str) -> Result<(), AskError> {
    house.accounts.ask_for_reset(email, &origin(&fresh_address())).await
}

/// Asks and takes the code out of the mail.
async fn asked(house: &House, sink: &Sink) -> SecretString {
    ask(house, ANNA).await.unwrap();
    house.deliver(&house.mailer(sink.address)).await;
    code_of(&sink.link_for(ANNA, "/reset/"))
}

async fn reset(house: &House, code: &SecretString, password: &str) -> Result<(), LinkError> {
    house.accounts.reset_by_link(code, &password.into(), &origin("203.0.113.77")).await
}

#[tokio::test]
async fn who_forgot_a_password_chooses_a_new_one_by_mail() {
    // S-06
    let (house, sink) = (House::new().await, Sink::start().await);
    let id = house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let code = asked(&house, &sink).await;
    assert!(house.try_in(ANNA, PASSWORD).await.is_ok(), "until then all stays as it is");
    let address = fresh_address().parse().unwrap();
    for _ in 0..2 {
        assert_eq!(house.accounts.find_reset(&code, address).await.unwrap().email, ANNA, "looking does not count");
    }
    let refused = reset(&house, &code, "too short").await.unwrap_err();
    assert!(matches!(refused, LinkError::BadField { field: "password", .. }), "{refused:?}");
    reset(&house, &code, NEW).await.unwrap();
    assert!(house.who(&session).await.is_none(), "signed out everywhere");
    assert!(house.try_in(ANNA, PASSWORD).await.is_err());
    assert!(house.try_in(ANNA, NEW).await.is_ok());
    assert!(matches!(reset(&house, &code, PASSWORD).await, Err(LinkError::Unknown)), "once");
    let started = &house.records_of("account.reset_started").await[0];
    assert_eq!((started.actor.as_str(), &started.payload["person"]), ("stranger", &json!(id)));
    let done = &house.records_of("account.password_reset").await[0];
    assert_eq!((&done.payload["address"], &done.payload["by_link"]), (&json!("203.0.113.77"), &json!(true)));
    assert_eq!(done.payload["sessions_ended"], json!(2));
    house.deliver(&house.mailer(sink.address)).await;
    let subjects: Vec<String> = sink.taken_for(ANNA).iter().map(crate::support::smtp::Mail::subject).collect();
    assert!(subjects.contains(&"Your Countersign password was reset".to_owned()), "{subjects:?}");
    house.verify().await;
}

#[tokio::test]
async fn asking_is_the_same_for_everybody_and_mail_goes_only_to_who_can_use_it() {
    // S-10: no hash, the same rows, and what comes of it is found out after the answer.
    let (house, sink) = (House::new().await, Sink::start().await);
    house.account(ANNA, &[Role::Approver]).await;
    let bert = house.account("bert@example.org", &[Role::Approver]).await;
    house.accounts.disable(&By::Operator, bert).await.unwrap();
    let new = NewPerson { email: "carl@example.org".into(), name: "Carl".into(), roles: Roles::default() };
    house.accounts.invite(&By::Operator, new).await.unwrap();
    house.deliver(&house.mailer(sink.address)).await;
    let (before, records) = (house.hasher.computed(), house.records().await.len());
    for email in [" ANNA@Example.org", "bert@example.org", "carl@example.org", "nobody@example.org"] {
        ask(&house, email).await.unwrap();
    }
    assert_eq!((house.hasher.computed(), house.records().await.len()), (before, records));
    let mut conn = house.test.connect_superuser().await;
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from portal.reset_request").fetch_one(&mut conn).await.unwrap();
    assert_eq!((waiting, house.outbox().await.len()), (4, 1), "nothing is looked up yet");
    assert!(!house.dump().await.contains("nobody@"), "what strangers type is sealed");
    house.deliver(&house.mailer(sink.address)).await;
    assert_eq!(sink.taken_for(ANNA).len(), 1);
    assert_eq!(sink.taken().len(), 2, "Carl's invitation, and Anna's reset");
    let waiting: i64 =
        sqlx::query_scalar("select count(*) from portal.reset_request").fetch_one(&mut conn).await.unwrap();
    assert_eq!(waiting, 0);
    assert!(matches!(ask(&house, "not an address").await, Err(AskError::BadEmail(_))));
}

#[tokio::test]
async fn three_an_hour_from_one_address() {
    // S-13
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let here = origin("203.0.113.5");
    for n in 0..3 {
        house.accounts.ask_for_reset(&format!("x{n}@example.org"), &here).await.unwrap();
    }
    let refused = house.accounts.ask_for_reset(ANNA, &here).await.unwrap_err();
    let AskError::TooMany { retry_after } = refused else { panic!("{refused:?}") };
    assert_eq!(retry_after, Duration::from_secs(20 * 60));
    let refused = house.replica().ask_for_reset(ANNA, &here).await;
    assert!(matches!(refused, Err(AskError::TooMany { .. })), "{refused:?}");
    house.pass(SignedDuration::from_mins(20));
    house.accounts.ask_for_reset(ANNA, &here).await.unwrap();
}

#[tokio::test]
async fn strangers_who_ask_for_somebody_neither_keep_them_from_asking_nor_end_their_link() {
    // S-13
    let (house, sink) = (House::new().await, Sink::start().await);
    house.account(ANNA, &[Role::Approver]).await;
    let mailer = house.mailer(sink.address);
    let code = asked(&house, &sink).await;
    for _ in 0..9 {
        house.pass(SignedDuration::from_mins(1));
        ask(&house, ANNA).await.unwrap();
        house.deliver(&mailer).await;
    }
    assert_eq!(sink.taken_for(ANNA).len(), 1, "one is enough while it is new");
    let address = fresh_address().parse().unwrap();
    assert!(house.accounts.find_reset(&code, address).await.is_ok(), "and it works");
    for _ in 0..20 {
        house.pass(SignedDuration::from_mins(2));
        ask(&house, ANNA).await.unwrap();
        house.deliver(&mailer).await;
    }
    // 49 minutes after the first: three at once, and one for each 20 minutes.
    assert!((3..=5).contains(&sink.taken_for(ANNA).len()), "{}", sink.taken_for(ANNA).len());
    reset(&house, &code_of(&sink.link_for(ANNA, "/reset/")), NEW).await.unwrap();
    house.verify().await;
}

#[tokio::test]
async fn strangers_who_ask_for_everybody_leave_few_records_a_minute() {
    //
    let (house, sink) = (House::new().await, Sink::start().await);
    for n in 0..30 {
        let email = format!("victim{n}@example.org");
        house.account(&email, &[Role::Approver]).await;
        ask(&house, &email).await.unwrap();
    }
    let mailer = house.mailer(sink.address);
    for _ in 0..60 {
        house.deliver(&mailer).await;
        house.pass(SignedDuration::from_secs(1));
    }
    let made = house.records_of("account.reset_started").await.len();
    assert!((7..=9).contains(&made), "{made}");
    for _ in 0..30 {
        house.pass(SignedDuration::from_secs(8));
        house.deliver(&mailer).await;
    }
    assert_eq!(sink.taken().len(), 30, "all get theirs, one after the other");
}

#[tokio::test]
async fn a_reset_opens_a_password_that_a_hundred_failures_switched_off() {
    // S-11
    let (house, sink) = (House::new().await, Sink::start().await);
    house.account(ANNA, &[Role::Approver]).await;
    for _ in 0..100 {
        assert!(matches!(house.try_in(ANNA, WRONG).await, Err(SignInError::Wrong)));
        house.pass(SignedDuration::from_secs(900));
    }
    assert!(house.try_in(ANNA, PASSWORD).await.is_err());
    let code = asked(&house, &sink).await;
    reset(&house, &code, NEW).await.unwrap();
    assert!(house.try_in(ANNA, NEW).await.is_ok());
    assert!(!house.accounts.list().await.unwrap()[0].password_off);
}

#[tokio::test]
async fn a_link_for_a_password_dies_after_an_hour_with_a_newer_one_and_with_the_account_or_password() {
    // S-06, S-27
    let (house, sink) = (House::new().await, Sink::start().await);
    let id = house.account(ANNA, &[Role::Approver]).await;
    let first = asked(&house, &sink).await;
    house.pass(SignedDuration::from_mins(20));
    let second = asked(&house, &sink).await;
    assert!(matches!(reset(&house, &first, NEW).await, Err(LinkError::Unknown)), "a newer one is there");
    house.pass(SignedDuration::from_hours(1));
    assert!(matches!(reset(&house, &second, NEW).await, Err(LinkError::Unknown)), "an hour is over");
    let third = asked(&house, &sink).await;
    let session = house.sign_in(ANNA).await;
    let changed =
        house.accounts.change_password(&session.person, PASSWORD.into(), NEW.into(), origin(&fresh_address()));
    changed.await.unwrap();
    assert!(matches!(reset(&house, &third, WRONG).await, Err(LinkError::Unknown)), "the password was changed");
    house.pass(SignedDuration::from_hours(1));
    let fourth = asked(&house, &sink).await;
    house.accounts.disable(&By::Operator, id).await.unwrap();
    assert!(matches!(reset(&house, &fourth, WRONG).await, Err(LinkError::Unknown)));
    house.accounts.enable(&By::Operator, id).await.unwrap();
    assert!(matches!(reset(&house, &fourth, WRONG).await, Err(LinkError::Unknown)), "it does not come back");
    assert!(house.try_in(ANNA, NEW).await.is_ok());
}

#[tokio::test]
async fn an_admin_starts_a_reset_and_neither_sees_the_link_nor_the_password() {
    // S-06
    let (house, sink) = (House::new().await, Sink::start().await);
    let id = house.account(ANNA, &[Role::Approver]).await;
    let boss = house.account("boss@example.org", &[Role::Admin]).await;
    let by = By::admin(&house.sign_in_as_admin("boss@example.org").await.person).unwrap();
    let started = house.accounts.start_reset(&by, id).await.unwrap();
    assert!(started.link.is_none(), "it goes to the person alone");
    assert!(house.try_in(ANNA, PASSWORD).await.is_ok(), "the old password goes on");
    house.deliver(&house.mailer(sink.address)).await;
    let mails = sink.taken_for(ANNA);
    let mail = mails.iter().find(|mail| mail.subject().starts_with("Choose")).unwrap();
    assert!(mail.text().contains("Person boss has started a new password"), "{}", mail.text());
    reset(&house, &code_of(&mail.link("https://releases.example.org/reset/")), NEW).await.unwrap();
    let told = &house.records_of("account.reset_started").await[0];
    assert_eq!((told.actor.clone(), &told.payload["person"]), (format!("account:{boss}"), &json!(id)));
    let new = NewPerson { email: "carl@example.org".into(), name: "Carl".into(), roles: Roles::default() };
    let carl = house.accounts.invite(&by, new).await.unwrap().account;
    assert!(matches!(house.accounts.start_reset(&by, carl).await, Err(AdminError::StillInvited)));
    house.accounts.disable(&by, id).await.unwrap();
    assert!(matches!(house.accounts.start_reset(&by, id).await, Err(AdminError::Disabled)));
    house.verify().await;
}

#[tokio::test]
async fn people_are_told_of_what_happens_to_their_accounts() {
    // S-06; ASVS 6.3.7
    let (house, sink) = (House::new().await, Sink::start().await);
    let mailer = house.mailer(sink.address);
    let id = house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    house.deliver(&mailer).await;
    let mail = sink.newest_for(ANNA);
    assert_eq!(mail.subject(), "Signed in to Countersign from a new browser");
    assert!(mail.text().contains("With: A program of another kind"), "a browser's own words are not repeated");
    assert!(mail.text().contains("From: 10.") && mail.text().contains("When: 2026-11-21 10:00 UTC"), "{}", mail.text());
    let here = countersign::accounts::Origin { device: session.device.clone(), ..origin("203.0.113.8") };
    let (_, session, _) = house.add_app(&session).await;
    house.accounts.change_password(&session.person, PASSWORD.into(), NEW.into(), here.clone()).await.unwrap();
    house.accounts.reset_password(&By::Operator, id, Some(PASSWORD.into())).await.unwrap();
    let mut conn = house.database.pages.acquire().await.unwrap();
    let account = store::accounts::find_by_email(&mut conn, ANNA).await.unwrap().unwrap();
    house.accounts.reset_factors(&By::Operator, id).await.unwrap();
    house.accounts.mail_email_changed(&mut conn, &account, "old@example.org").await.unwrap();
    house.deliver(&mailer).await;
    let mails = sink.taken_for(ANNA);
    let mut subjects: Vec<String> = mails.iter().skip(1).map(crate::support::smtp::Mail::subject).collect();
    subjects.sort();
    assert_eq!(
        subjects,
        [
            "The e-mail address of your Countersign account was changed",
            "The second factors of your Countersign account",
            "The second factors of your Countersign account",
            "Your Countersign password was changed",
            "Your Countersign password was reset",
        ]
    );
    let says = |words: &str| mails.iter().any(|mail| mail.text().contains(words));
    assert!(says("An authenticator app was added to your account."));
    assert!(says("All second factors of your account were removed."));
    assert!(sink.newest_for("old@example.org").text().contains("Now: anna@example.org"), "at both addresses");
}

#[tokio::test]
async fn no_secret_of_a_link_is_in_any_table_or_record() {
    // S-48
    let (house, sink) = (House::new().await, Sink::start().await);
    house.account(ANNA, &[Role::Approver]).await;
    let code = asked(&house, &sink).await;
    use secrecy::ExposeSecret as _;
    let dump = house.dump().await;
    assert!(!dump.contains(code.expose_secret()));
    reset(&house, &code, NEW).await.unwrap();
    let dump = house.dump().await;
    assert!(!dump.contains(code.expose_secret()) && !dump.contains(NEW));
}
