//! Passwords where local sign-in is off: for accounts marked for emergencies, and for nobody else.

use countersign::accounts::admin::AdminError;
use countersign::accounts::factors::{Asked, PasskeySignIn};
use countersign::accounts::invitations::NewPerson;
use countersign::accounts::setup::Setup;
use countersign::accounts::sign_in::SignInError;
use countersign::accounts::{Accounts, By, Settings};
use countersign::domain::people::{Role, Roles};
use countersign::random::Random;

use crate::house::{ANNA, House, PASSWORD, WRONG, ask, browser, fresh_address, origin, settings};
use crate::passkeys::add;

/// A replica that takes passwords of such accounts only.
fn without_passwords(house: &House) -> Accounts {
    let settings = Settings { local_sign_in: false, ..settings() };
    Accounts::with_hasher(house.test.open(), house.clock.clone(), Random::system(), settings, house.hasher.clone())
}

#[tokio::test]
async fn a_password_is_of_no_use_without_the_mark_and_the_work_is_the_same_for_everybody() {
    // S-10
    let house = House::new().await;
    let anna = house.account(ANNA, &[Role::Approver]).await;
    let accounts = without_passwords(&house);
    for (email, password) in [(ANNA, PASSWORD), (ANNA, WRONG), ("nobody@example.org", PASSWORD)] {
        let before = house.hasher.computed();
        let refused = accounts.sign_in(ask(&fresh_address(), email, password)).await;
        assert!(matches!(refused, Err(SignInError::Wrong)), "{email}: {refused:?}");
        assert_eq!(house.hasher.computed(), before + 1, "{email}");
    }
    let why: Vec<_> =
        house.records_of("sign_in.failed").await.into_iter().map(|record| record.payload["why"].clone()).collect();
    assert_eq!(why, ["local sign-in is off", "local sign-in is off"]);
    assert!(house.sign_in(ANNA).await.person.roles.approver, "where it is on, it is");

    assert!(accounts.nobody_could_break_in().await.unwrap());
    assert!(accounts.set_break_glass(&By::Operator, anna, true).await.unwrap());
    assert!(!accounts.set_break_glass(&By::Operator, anna, true).await.unwrap(), "once");
    assert!(!accounts.nobody_could_break_in().await.unwrap());
    assert!(accounts.sign_in(ask(&fresh_address(), ANNA, PASSWORD)).await.is_ok());
    let marked = house.records_of("account.changed").await.pop().unwrap();
    assert_eq!((marked.actor.as_str(), &marked.payload["break_glass"]), ("operator", &true.into()));
    assert!(accounts.set_break_glass(&By::Operator, anna, false).await.unwrap());
    assert!(accounts.sign_in(ask(&fresh_address(), ANNA, PASSWORD)).await.is_err());
    house.verify().await;
}

#[tokio::test]
async fn the_account_of_the_set_up_opens_the_portal_when_nothing_else_does() {
    let house = House::new().await;
    let secret = house.accounts.issue_secret().await.unwrap().unwrap();
    let setup = Setup {
        secret,
        email: ANNA.into(),
        name: "Anna Schmidt".into(),
        password: PASSWORD.into(),
        origin: origin("192.0.2.1"),
    };
    house.accounts.complete_setup(setup).await.unwrap();
    assert!(without_passwords(&house).sign_in(ask(&fresh_address(), ANNA, PASSWORD)).await.is_ok());
}

#[tokio::test]
async fn no_link_and_no_passkey_is_a_way_around_it() {
    let house = House::new().await;
    let anna = house.account(ANNA, &[Role::Approver]).await;
    let (mut key, _) = add(&house, &house.sign_in(ANNA).await, "Key on my ring").await;
    let started = house.accounts.start_reset(&By::Operator, anna).await;
    assert!(started.is_ok(), "while local sign-in is on");
    let accounts = without_passwords(&house);

    let Asked { ceremony, options } =
        accounts.ask_sign_in(browser(), &origin(&fresh_address())).await.unwrap().unwrap();
    let ask = PasskeySignIn {
        ceremony,
        answer: key.prove(&options),
        holder: browser(),
        origin: origin("203.0.113.9"),
        replaces: None,
    };
    let refused = accounts.sign_in_with_passkey(ask).await;
    assert!(matches!(refused, Err(SignInError::Wrong)), "{refused:?}");
    assert_eq!(house.records_of("factor.refused").await.pop().unwrap().payload["why"], "local sign-in is off");

    let refused = accounts.start_reset(&By::Operator, anna).await;
    assert!(matches!(refused, Err(AdminError::NoLocalSignIn)), "{refused:?}");
    let before = house.outbox().await.len();
    accounts.ask_for_reset(ANNA, &origin(&fresh_address())).await.unwrap();
    while accounts.answer_request().await.unwrap() {}
    assert_eq!(house.outbox().await.len(), before, "nothing is mailed to somebody who has no use for it");
    let new = NewPerson { email: "carl@example.org".into(), name: "Carl".into(), roles: Roles::default() };
    let refused = accounts.invite(&By::Operator, new).await;
    assert!(matches!(refused, Err(AdminError::NoLocalSignIn)), "{refused:?}");

    accounts.set_break_glass(&By::Operator, anna, true).await.unwrap();
    assert!(accounts.start_reset(&By::Operator, anna).await.is_ok());
    house.verify().await;
}
