//! The first account.

use countersign::accounts::setup::{Setup, SetupError};
use countersign::domain::people::Role;
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};

use crate::house::{ANNA, House, PASSWORD, fresh_address, origin};

fn setup(secret: &SecretString, email: &str) -> Setup {
    Setup {
        secret: secret.clone(),
        email: email.into(),
        name: "Anna".into(),
        password: PASSWORD.into(),
        origin: origin(&fresh_address()),
    }
}

#[tokio::test]
async fn the_operators_secret_makes_the_first_account_and_signs_it_in() {
    // S-07
    let house = House::new().await;
    assert!(house.accounts.no_account_exists().await.unwrap(), "there is no default account");
    let secret = house.accounts.issue_secret().await.unwrap().unwrap();
    let new = house.accounts.complete_setup(setup(&secret, ANNA)).await.unwrap();
    let person = house.who(&new).await.unwrap();
    assert!(person.roles.approver && person.roles.auditor);
    assert!(!person.roles.admin && person.lacks_factor, "an admin needs a second factor first");
    assert_eq!(person.method, "setup");
    assert!(!house.accounts.no_account_exists().await.unwrap());
    assert!(house.accounts.issue_secret().await.unwrap().is_none(), "no second secret");
    house.sign_in(ANNA).await;
    let kinds: Vec<String> = house.records().await.into_iter().map(|record| record.kind).collect();
    assert_eq!(
        kinds,
        [
            "setup.secret_issued",
            "account.created",
            "grant.given",
            "setup.completed",
            "session.started",
            "session.started"
        ]
    );
    assert!(!house.dump().await.contains(secret.expose_secret()));
    house.verify().await;
}

#[tokio::test]
async fn of_two_who_set_up_at_once_one_wins() {
    // S-07
    let house = House::new().await;
    let secret = house.accounts.issue_secret().await.unwrap().unwrap();
    let replica = house.replica();
    let (one, two) = tokio::join!(
        house.accounts.complete_setup(setup(&secret, ANNA)),
        replica.complete_setup(setup(&secret, "bert@example.org"))
    );
    let lost = match (one, two) {
        (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
        other => panic!("{other:?}"),
    };
    assert!(matches!(lost, SetupError::AlreadySetUp), "{lost:?}");
    assert_eq!(house.accounts.list().await.unwrap().len(), 1);
    let again = house.accounts.complete_setup(setup(&secret, "carl@example.org")).await;
    assert!(matches!(again, Err(SetupError::AlreadySetUp)), "{again:?}");
}

#[tokio::test]
async fn a_secret_is_dead_after_an_hour_or_when_a_newer_one_is_issued() {
    // S-07
    let house = House::new().await;
    let first = house.accounts.issue_secret().await.unwrap().unwrap();
    let second = house.accounts.issue_secret().await.unwrap().unwrap();
    for wrong in [first, SecretString::from(""), SecretString::from("A".repeat(43))] {
        let refused = house.accounts.complete_setup(setup(&wrong, ANNA)).await;
        assert!(matches!(refused, Err(SetupError::WrongSecret)), "{refused:?}");
    }
    house.pass(SignedDuration::from_mins(60));
    let late = house.accounts.complete_setup(setup(&second, ANNA)).await;
    assert!(matches!(late, Err(SetupError::WrongSecret)), "{late:?}");
    let third = house.accounts.issue_secret().await.unwrap().unwrap();
    house.pass(SignedDuration::from_mins(59));
    assert!(house.accounts.complete_setup(setup(&third, ANNA)).await.is_ok());
}

#[tokio::test]
async fn a_refused_field_names_itself_and_does_not_use_the_secret_up() {
    let house = House::new().await;
    let secret = house.accounts.issue_secret().await.unwrap().unwrap();
    let hashed = house.hasher.computed();
    let field = async |change: fn(&mut Setup)| {
        let mut bad = setup(&secret, ANNA);
        change(&mut bad);
        match house.accounts.complete_setup(bad).await {
            Err(SetupError::BadField { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(field(|setup| setup.email = "anna".into()).await, "email");
    assert_eq!(field(|setup| setup.name = " ".into()).await, "name");
    assert_eq!(field(|setup| setup.password = "too short".into()).await, "password");
    assert_eq!(house.hasher.computed(), hashed);
    assert!(house.accounts.complete_setup(setup(&secret, ANNA)).await.is_ok());
}

#[tokio::test]
async fn an_account_made_in_the_terminal_ends_the_set_up() {
    // S-07
    let house = House::new().await;
    let secret = house.accounts.issue_secret().await.unwrap().unwrap();
    house.account("operator@example.org", &[Role::Admin]).await;
    let refused = house.accounts.complete_setup(setup(&secret, ANNA)).await;
    assert!(matches!(refused, Err(SetupError::AlreadySetUp)), "{refused:?}");
}

#[tokio::test]
async fn guessing_the_secret_is_limited_by_address() {
    // S-13
    let house = House::new().await;
    let secret = house.accounts.issue_secret().await.unwrap().unwrap();
    for _ in 0..10 {
        let mut guess = setup(&SecretString::from("B".repeat(43)), ANNA);
        guess.origin = origin("203.0.113.5");
        assert!(matches!(house.accounts.complete_setup(guess).await, Err(SetupError::WrongSecret)));
    }
    let mut right = setup(&secret, ANNA);
    right.origin = origin("203.0.113.5");
    assert!(matches!(house.accounts.complete_setup(right).await, Err(SetupError::TooMany { .. })));
}
