//! Known browsers: strangers do not lock anybody out of theirs.

use std::time::Duration;

use countersign::accounts::factors::StepUpProof;
use countersign::accounts::sign_in::{SignIn, SignInError};
use countersign::accounts::{By, NewSession, Origin};
use countersign::domain::people::Role;
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};

use crate::house::{ANNA, House, PASSWORD, WRONG, ask, fresh_address, origin, whole};
use crate::support::smtp::Sink;

const BERT: &str = "bert@example.org";

/// A try in a browser with this cookie, from an address that was never seen before.
async fn try_with(
    house: &House,
    device: &SecretString,
    email: &str,
    password: &str,
) -> Result<NewSession, SignInError> {
    let ask = ask(&fresh_address(), email, password);
    let origin = Origin { device: Some(device.clone()), ..ask.origin };
    house.accounts.sign_in(SignIn { origin, ..ask }).await.map(whole)
}

#[tokio::test]
async fn strangers_who_guess_lock_nobody_out_of_a_browser_they_use() {
    // S-12
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let mut device = house.sign_in(ANNA).await.device.unwrap();
    for _ in 0..8 {
        house.try_in(ANNA, WRONG).await.unwrap_err();
    }
    assert!(matches!(house.try_in(ANNA, PASSWORD).await, Err(SignInError::TooMany { .. })), "elsewhere she waits");
    device = try_with(&house, &device, ANNA, PASSWORD).await.unwrap().device.unwrap();
    for _ in 0..100 {
        house.pass(SignedDuration::from_secs(900));
        house.try_in(ANNA, WRONG).await.unwrap_err();
    }
    house.pass(SignedDuration::from_secs(900));
    assert!(house.accounts.list().await.unwrap()[0].password_off);
    assert!(matches!(house.try_in(ANNA, PASSWORD).await, Err(SignInError::Wrong)), "off for who is not known");
    try_with(&house, &device, ANNA, PASSWORD).await.unwrap();
    assert!(!house.accounts.list().await.unwrap()[0].password_off, "a success clears (S-11)");
    house.verify().await;
}

#[tokio::test]
async fn a_known_browser_has_waits_and_a_hundred_failures_of_its_own() {
    // S-12 with S-11
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let device = house.sign_in(ANNA).await.device.unwrap();
    for _ in 0..5 {
        assert!(matches!(try_with(&house, &device, ANNA, WRONG).await, Err(SignInError::Wrong)));
    }
    let waits = try_with(&house, &device, ANNA, PASSWORD).await.unwrap_err();
    let SignInError::TooMany { retry_after } = waits else { panic!("{waits:?}") };
    assert_eq!(retry_after, Duration::from_secs(1));
    house.sign_in(ANNA).await;
    for _ in 5..100 {
        house.pass(SignedDuration::from_secs(900));
        assert!(matches!(try_with(&house, &device, ANNA, WRONG).await, Err(SignInError::Wrong)));
    }
    house.pass(SignedDuration::from_secs(900));
    let off = try_with(&house, &device, ANNA, PASSWORD).await;
    assert!(matches!(off, Err(SignInError::Wrong)), "{off:?}");
    house.sign_in(ANNA).await;
}

#[tokio::test]
async fn the_right_password_typed_to_prove_it_is_no_failure_of_its_browser() {
    // S-12 with S-18
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let mut session = house.sign_in(ANNA).await;
    let device = session.device.clone();
    for round in 0..20 {
        house.pass(SignedDuration::from_mins(6));
        let from_here = Origin { device: device.clone(), ..origin(&fresh_address()) };
        let person = house.who(&session).await.unwrap();
        let proven = house.accounts.step_up(&person, StepUpProof::Password(PASSWORD.into()), &from_here).await;
        session = proven.unwrap_or_else(|refused| panic!("round {round}: {refused:?}"));
    }
    assert_eq!(house.records_of("sign_in.throttled").await.len(), 0);
    house.verify().await;
}

#[tokio::test]
async fn tries_at_once_in_a_known_browser_cannot_share_one_count() {
    // S-11
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let device = house.sign_in(ANNA).await.device.unwrap();
    let tries = (0..20).map(|_| try_with(&house, &device, ANNA, WRONG));
    let answers = futures::future::join_all(tries).await;
    let heard = answers.iter().filter(|answer| matches!(answer, Err(SignInError::Wrong))).count();
    assert_eq!(heard, 5, "{answers:?}");
}

#[tokio::test]
async fn the_secret_is_new_at_each_sign_in_and_good_for_one_account() {
    // S-12, S-23
    let (house, sink) = (House::new().await, Sink::start().await);
    house.account(ANNA, &[Role::Approver]).await;
    house.account(BERT, &[Role::Approver]).await;
    let first = house.sign_in(ANNA).await.device.unwrap();
    let second = try_with(&house, &first, ANNA, PASSWORD).await.unwrap().device.unwrap();
    assert_ne!(first.expose_secret(), second.expose_secret());
    assert!(!house.dump().await.contains(second.expose_secret()));
    let both = try_with(&house, &second, BERT, PASSWORD).await.unwrap().device.unwrap();
    assert_eq!(both.expose_secret().split('.').count(), 2, "two people, one browser");
    for email in [ANNA, BERT] {
        for _ in 0..5 {
            house.try_in(email, WRONG).await.unwrap_err();
        }
    }
    assert!(matches!(try_with(&house, &first, ANNA, PASSWORD).await, Err(SignInError::TooMany { .. })), "replaced");
    assert!(
        matches!(try_with(&house, &second, BERT, PASSWORD).await, Err(SignInError::TooMany { .. })),
        "Anna's alone"
    );
    let both = try_with(&house, &both, ANNA, PASSWORD).await.unwrap().device.unwrap();
    try_with(&house, &both, BERT, PASSWORD).await.unwrap();
    house.deliver(&house.mailer(sink.address)).await;
    assert_eq!((sink.taken_for(ANNA).len(), sink.taken_for(BERT).len()), (1, 1), "told once that the browser is new");
}

#[tokio::test]
async fn a_cookie_of_somebodys_own_making_changes_nothing_and_tells_nothing() {
    // S-10, S-12
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let foreign = {
        house.account(BERT, &[Role::Approver]).await;
        house.sign_in(BERT).await.device.unwrap()
    };
    for made_up in [
        "A".repeat(43),
        format!("{0}.{0}", "B".repeat(43)),
        String::new(),
        "' or 1=1".into(),
        foreign.expose_secret().into(),
    ] {
        let made_up = SecretString::from(made_up);
        for email in [ANNA, "nobody@example.org"] {
            let before = house.hasher.computed();
            let mut said = Vec::new();
            for _ in 0..6 {
                said.push(try_with(&house, &made_up, email, WRONG).await.unwrap_err().to_string());
            }
            assert_eq!(said[4..], ["E-mail or password is wrong.", "Too many tries."], "{email}");
            assert_eq!(house.hasher.computed() - before, 5);
        }
        house.pass(SignedDuration::from_hours(1));
        let mut conn = house.test.connect_superuser().await;
        sqlx::query("delete from portal.sign_in_wait").execute(&mut conn).await.unwrap();
    }
}

#[tokio::test]
async fn browsers_are_forgotten_with_a_new_password_and_after_a_year() {
    // S-06, S-12
    let (house, sink) = (House::new().await, Sink::start().await);
    let id = house.account(ANNA, &[Role::Approver]).await;
    let (desk, phone) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    let here = Origin { device: desk.device.clone(), ..origin(&fresh_address()) };
    let new = "one two buckle my shoe";
    let desk = house.accounts.change_password(&desk.person, PASSWORD.into(), new.into(), here).await.unwrap();
    house.deliver(&house.mailer(sink.address)).await;
    let before = sink.taken().len();
    let desk = try_with(&house, desk.device.as_ref().unwrap(), ANNA, new).await.unwrap();
    house.deliver(&house.mailer(sink.address)).await;
    assert_eq!(sink.taken().len(), before, "this one stays");
    try_with(&house, phone.device.as_ref().unwrap(), ANNA, new).await.unwrap();
    house.deliver(&house.mailer(sink.address)).await;
    assert_eq!(sink.taken().len(), before + 1, "the other one is new again");
    house.pass(SignedDuration::from_hours(24 * 365));
    house.accounts.sweep_limits().await.unwrap();
    let desk = try_with(&house, desk.device.as_ref().unwrap(), ANNA, new).await.unwrap();
    house.accounts.reset_password(&By::Operator, id, Some(PASSWORD.into())).await.unwrap();
    for _ in 0..5 {
        house.try_in(ANNA, WRONG).await.unwrap_err();
    }
    assert!(matches!(
        try_with(&house, desk.device.as_ref().unwrap(), ANNA, PASSWORD).await,
        Err(SignInError::TooMany { .. })
    ));
    let mut conn = house.test.connect_superuser().await;
    let known: i64 = sqlx::query_scalar("select count(*) from portal.known_device").fetch_one(&mut conn).await.unwrap();
    assert_eq!(known, 0);
}

#[tokio::test]
async fn the_last_twenty_browsers_of_an_account_are_known() {
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    for _ in 0..25 {
        house.sign_in(ANNA).await;
        house.pass(SignedDuration::from_secs(1));
    }
    let mut conn = house.test.connect_superuser().await;
    let known: i64 = sqlx::query_scalar("select count(*) from portal.known_device").fetch_one(&mut conn).await.unwrap();
    assert_eq!(known, 20);
}
