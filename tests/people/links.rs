//! Invitations, and what they have in common with resets: links that are used once.

use countersign::accounts::admin::AdminError;
use countersign::accounts::ceremonies::Holder;
use countersign::accounts::factors::{Asked, FactorError, InvitedPasskey, NewPasskey, PasskeySignIn};
use countersign::accounts::invitations::{Acceptance, Accepted, Invited, Means, NewPerson};
use countersign::accounts::links::LinkError;
use countersign::accounts::{Accounts, By, NewSession};
use countersign::domain::people::{Role, Roles};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, WRONG, browser, code_of, fresh_address, origin};
use crate::support::authenticator::Authenticator;

fn anna() -> NewPerson {
    NewPerson { email: ANNA.into(), name: "Anna".into(), roles: [Role::Approver].into_iter().collect() }
}

async fn invite(house: &House) -> (Invited, SecretString) {
    let invited = house.accounts.invite(&By::Operator, anna()).await.unwrap();
    let code = code_of(invited.link.expose_secret());
    (invited, code)
}

async fn accept(accounts: &Accounts, code: &SecretString, name: &str, password: &str) -> Result<NewSession, LinkError> {
    let (means, origin) = (Means::Password(password.into()), origin(&fresh_address()));
    accounts
        .accept_invitation(Acceptance { code: code.clone(), name: name.into(), means, origin, replaces: None })
        .await
        .map(|accepted| accepted.session)
}

async fn look(house: &House, code: &SecretString) -> Result<String, LinkError> {
    let found = house.accounts.find_invitation(code, fresh_address().parse().unwrap()).await;
    found.map(|invitation| invitation.email)
}

#[tokio::test]
async fn an_invited_person_chooses_name_and_password_and_is_in() {
    // S-06, S-16, S-25
    let house = House::new().await;
    house.account("boss@example.org", &[Role::Admin]).await;
    let boss = house.sign_in_as_admin("boss@example.org").await;
    let invited = house.accounts.invite(&By::admin(&boss.person).unwrap(), anna()).await.unwrap();
    let code = code_of(invited.link.expose_secret());
    assert_eq!(*invited.link.expose_secret(), format!("https://releases.example.org/invite/{}", code.expose_secret()));
    assert_eq!(code.expose_secret().len(), 43, "256 bits");
    let seen = house.accounts.find_invitation(&code, "192.0.2.9".parse().unwrap()).await.unwrap();
    assert_eq!(
        (seen.name.as_str(), seen.email.as_str(), seen.roles.names()),
        ("Anna", ANNA, vec!["approver".to_owned()])
    );
    assert_eq!(seen.invited_by.as_deref(), Some("Person boss"));
    let session = accept(&house.accounts, &code, "Anna Schmidt", PASSWORD).await.unwrap();
    let person = house.who(&session).await.unwrap();
    assert_eq!((person.name.as_str(), person.method.as_str()), ("Anna Schmidt", "invite"));
    assert!(person.roles.approver && !person.must_change_password);
    house.sign_in(ANNA).await;
    let told = &house.records_of("account.invited").await[0];
    assert_eq!(told.actor, format!("account:{}", boss.person.account));
    assert_eq!((&told.payload["person"], &told.payload["mailed"]), (&json!(invited.account), &json!(true)));
    let told = &house.records_of("account.invitation_accepted").await[0];
    assert_eq!((&told.payload["person"], &told.payload["name"]), (&json!(invited.account), &json!("Anna Schmidt")));
    assert_eq!(told.payload["by"]["method"], json!("invite"));
    house.verify().await;
}

#[tokio::test]
async fn a_link_works_once_and_looking_does_not_count() {
    // S-06, L-01
    let house = House::new().await;
    let (_, code) = invite(&house).await;
    for _ in 0..3 {
        assert_eq!(look(&house, &code).await.unwrap(), ANNA);
    }
    accept(&house.accounts, &code, "Anna", PASSWORD).await.unwrap();
    assert!(matches!(look(&house, &code).await, Err(LinkError::Unknown)));
    let again = accept(&house.accounts, &code, "Eve", "another password entirely").await;
    assert!(matches!(again, Err(LinkError::Unknown)), "{again:?}");
    assert!(house.try_in(ANNA, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn of_two_who_use_one_link_at_once_one_is_let_in() {
    for _ in 0..3 {
        let house = House::new().await;
        let (_, code) = invite(&house).await;
        let replica = house.replica();
        let other = "another password entirely";
        let (one, two) =
            tokio::join!(accept(&house.accounts, &code, "Anna", PASSWORD), accept(&replica, &code, "Eve", other));
        assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
        assert!(matches!(one.and(two), Err(LinkError::Unknown)));
        assert_eq!(house.records_of("account.invitation_accepted").await.len(), 1);
    }
}

#[tokio::test]
async fn a_field_that_is_refused_says_why_and_leaves_the_link_alive() {
    // S-01, S-03
    let house = House::new().await;
    let (_, code) = invite(&house).await;
    for (name, password, field, part) in [
        ("", PASSWORD, "name", "1 to 120"),
        ("a\u{202e}b", PASSWORD, "name", "cannot be seen"),
        ("Anna", "too short", "password", "at least 15 characters; this one has 9"),
        ("Annabella Schmidtchen", "Annabella Schmidtchen1", "password", "your name"),
        ("Anna", "anna@example.org12", "password", "your e-mail address"),
        ("Anna", "releases.example.org", "password", "the address of this site"),
    ] {
        let refused = accept(&house.accounts, &code, name, password).await.unwrap_err();
        let LinkError::BadField { field: which, problem } = refused else { panic!("{refused:?}") };
        assert!(which == field && problem.contains(part), "{name}: {which}: {problem}");
    }
    accept(&house.accounts, &code, "Anna", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn a_link_dies_with_its_time_with_a_newer_one_and_with_the_account() {
    // S-06, S-27
    let house = House::new().await;
    let (invited, first) = invite(&house).await;
    let again = house.accounts.invite_again(&By::Operator, invited.account).await.unwrap();
    let second = code_of(again.link.expose_secret());
    assert!(matches!(look(&house, &first).await, Err(LinkError::Unknown)), "a newer one is there");
    assert!(look(&house, &second).await.is_ok());
    house.accounts.disable(&By::Operator, invited.account).await.unwrap();
    assert!(matches!(look(&house, &second).await, Err(LinkError::Unknown)));
    let refused = house.accounts.invite_again(&By::Operator, invited.account).await;
    assert!(matches!(refused, Err(AdminError::Disabled)), "{refused:?}");
    house.accounts.enable(&By::Operator, invited.account).await.unwrap();
    assert!(matches!(look(&house, &second).await, Err(LinkError::Unknown)), "it does not come back");
    let third = house.accounts.invite_again(&By::Operator, invited.account).await.unwrap();
    let third = code_of(third.link.expose_secret());
    house.pass(SignedDuration::from_hours(24) - SignedDuration::from_secs(1));
    assert!(look(&house, &third).await.is_ok());
    house.pass(SignedDuration::from_secs(1));
    assert!(matches!(look(&house, &third).await, Err(LinkError::Unknown)), "24 hours are over");
    assert!(matches!(accept(&house.accounts, &third, "Anna", PASSWORD).await, Err(LinkError::Unknown)));
    house.accounts.sweep_limits().await.unwrap();
    assert_eq!(house.accounts.find_invited(ANNA).await.unwrap(), Some(invited.account), "she can be invited again");
}

#[tokio::test]
async fn unknown_foreign_and_misshapen_codes_are_one_answer_after_the_same_work() {
    // L-08
    let house = House::new().await;
    let (_, invite) = invite(&house).await;
    house.account("bert@example.org", &[Role::Approver]).await;
    let bert = house.accounts.find_by_email("bert@example.org").await.unwrap().unwrap();
    house.accounts.start_reset(&By::Operator, bert).await.unwrap();
    let mailer_sink = crate::support::smtp::Sink::start().await;
    house.deliver(&house.mailer(mailer_sink.address)).await;
    let reset = code_of(&mailer_sink.link_for("bert@example.org", "/reset/"));
    let before = house.hasher.computed();
    let address = || fresh_address().parse().unwrap();
    for code in [&reset, &"A".repeat(43).into(), &"".into(), &"x".repeat(5000).into(), &"' or 1=1 --".into()] {
        let refused = house.accounts.find_invitation(code, address()).await.unwrap_err();
        assert_eq!(refused.to_string(), "This link does not work, or does so no longer.");
        assert!(matches!(accept(&house.accounts, code, "Eve", PASSWORD).await, Err(LinkError::Unknown)));
    }
    assert!(matches!(house.accounts.find_reset(&invite, address()).await, Err(LinkError::Unknown)));
    assert_eq!(house.hasher.computed(), before, "no password is hashed for a code that does not work");
    house.accounts.flush_stranger_counts().await.unwrap();
    house.pass(SignedDuration::from_secs(90));
    house.accounts.flush_stranger_counts().await.unwrap();
    assert_eq!(house.records_of("strangers.counted").await[0].payload["counts"], json!({ "link.refused": 11 }));
}

#[tokio::test]
async fn one_address_tries_thirty_codes_a_minute() {
    // L-08
    let house = House::new().await;
    let (_, code) = invite(&house).await;
    let address = "203.0.113.5".parse().unwrap();
    for _ in 0..30 {
        let refused = house.accounts.find_invitation(&"A".repeat(43).into(), address).await;
        assert!(matches!(refused, Err(LinkError::Unknown)));
    }
    let refused = house.accounts.find_invitation(&code, address).await;
    assert!(matches!(refused, Err(LinkError::TooMany { .. })), "{refused:?}");
    assert!(house.accounts.find_reset(&code, address).await.is_err());
    assert!(look(&house, &code).await.is_ok(), "the neighbour is not concerned");
    house.pass(SignedDuration::from_secs(2));
    assert!(house.accounts.find_invitation(&code, address).await.is_ok());
}

#[tokio::test]
async fn before_it_is_accepted_an_invitation_is_no_way_in() {
    // S-07, S-10
    let house = House::new().await;
    invite(&house).await;
    for password in [PASSWORD, WRONG, ""] {
        let before = house.hasher.computed();
        let refused = house.try_in(ANNA, password).await.unwrap_err();
        assert_eq!(refused.to_string(), "E-mail or password is wrong.");
        assert_eq!(house.hasher.computed() - before, 1);
    }
    let refused = house.accounts.invite(&By::Operator, anna()).await;
    assert!(matches!(refused, Err(AdminError::EmailTaken)), "{refused:?}");
    assert!(!house.accounts.no_account_exists().await.unwrap(), "and there is no set-up any more");
}

#[tokio::test]
async fn only_who_is_an_admin_just_now_invites() {
    let house = House::new().await;
    let boss = house.account("boss@example.org", &[Role::Admin]).await;
    house.account("second@example.org", &[Role::Admin]).await;
    let by = By::admin(&house.sign_in_as_admin("boss@example.org").await.person).unwrap();
    house.accounts.change_roles(&By::Operator, boss, Roles::default()).await.unwrap();
    let refused = house.accounts.invite(&by, anna()).await;
    assert!(matches!(refused, Err(AdminError::NotAllowed)), "{refused:?}");
    assert!(house.outbox().await.iter().all(|mail| mail.kind != "invitation"));
    let (invited, _) = invite(&house).await;
    assert!(matches!(house.accounts.invite_again(&by, invited.account).await, Err(AdminError::NotAllowed)));
    assert!(matches!(house.accounts.invite_again(&By::Operator, boss).await, Err(AdminError::NotInvited)));
    for (email, name, field) in [("nonsense", "Anna", "email"), ("x@example.org", "", "name")] {
        let new = NewPerson { email: email.into(), name: name.into(), roles: Roles::default() };
        let refused = house.accounts.invite(&By::Operator, new).await.unwrap_err();
        assert!(matches!(refused, AdminError::BadField { field: which, .. } if which == field), "{refused:?}");
    }
}

#[tokio::test]
async fn accepting_where_somebody_else_is_signed_in_signs_them_out() {
    // S-25
    let house = House::new().await;
    house.account("bert@example.org", &[Role::Approver]).await;
    let bert = house.sign_in("bert@example.org").await;
    let (_, code) = invite(&house).await;
    let (means, origin) = (Means::Password(PASSWORD.into()), origin(&fresh_address()));
    let replaces = Some(bert.cookie_secret.clone());
    let acceptance = Acceptance { code, name: "Anna".into(), means, origin, replaces };
    let anna = house.accounts.accept_invitation(acceptance).await.unwrap().session;
    assert!(house.who(&bert).await.is_none());
    assert_eq!(house.who(&anna).await.unwrap().email, ANNA);
}

/// Accepts with a passkey that was made in the browser of `holder`.
async fn accept_by_key(
    house: &House,
    code: &SecretString,
    (question, answer): (&Asked, String),
    holder: Holder,
) -> Result<Accepted, LinkError> {
    let means = Means::Passkey(InvitedPasskey { ceremony: question.ceremony, answer, holder });
    let (name, origin) = ("Anna Schmidt".into(), origin(&fresh_address()));
    house.accounts.accept_invitation(Acceptance { code: code.clone(), name, means, origin, replaces: None }).await
}

async fn asked_for_key(house: &House, code: &SecretString) -> Asked {
    let address = fresh_address().parse().unwrap();
    house.accounts.ask_invited_passkey(code, browser(), address).await.unwrap().unwrap()
}

#[tokio::test]
async fn an_invited_person_may_have_a_passkey_and_no_password() {
    // S-06, S-15, S-17
    let house = House::new().await;
    let (invited, code) = invite(&house).await;
    let question = asked_for_key(&house, &code).await;
    let wanted = &question.options["publicKey"]["authenticatorSelection"];
    assert_eq!((&wanted["residentKey"], &wanted["userVerification"]), (&json!("required"), &json!("required")));
    let (mut key, answer) = Authenticator::make("https://releases.example.org", &question.options);

    let elsewhere = Holder::browser(b"another browser");
    let refused = accept_by_key(&house, &code, (&question, answer.clone()), elsewhere).await.unwrap_err();
    assert!(matches!(refused, LinkError::BadField { field: "passkey", .. }), "{refused:?}");
    let accepted = accept_by_key(&house, &code, (&question, answer.clone()), browser()).await.unwrap();
    let person = house.who(&accepted.session).await.unwrap();
    assert_eq!((person.method.as_str(), person.factor.as_deref()), ("invite", Some("passkey")));
    assert_eq!(accepted.codes.unwrap().len(), 10);
    let told: Vec<_> = house.records().await.into_iter().map(|record| record.kind).collect();
    let wanted = ["session.started", "account.invitation_accepted", "factor.recovery_codes_made", "factor.added"];
    assert_eq!(told[told.len() - 4..], wanted);
    assert!(matches!(accept_by_key(&house, &code, (&question, answer), browser()).await, Err(LinkError::Unknown)));

    for password in [PASSWORD, ""] {
        assert!(house.try_in(ANNA, password).await.is_err(), "there is no password");
    }
    let question = house.accounts.ask_sign_in(browser(), &origin(&fresh_address())).await.unwrap().unwrap();
    let (answer, holder) = (key.prove(&question.options), browser());
    let ask =
        PasskeySignIn { ceremony: question.ceremony, answer, holder, origin: origin("203.0.113.9"), replaces: None };
    let again = house.accounts.sign_in_with_passkey(ask).await.unwrap();
    assert_eq!(again.person.account, invited.account);
    house.verify().await;
}

#[tokio::test]
async fn a_passkey_asked_for_by_an_invitation_is_none_of_who_is_signed_in_there() {
    // S-17: one session may begin both, and they are not the same.
    let house = House::new().await;
    house.account("bert@example.org", &[Role::Approver]).await;
    let bert = house.sign_in("bert@example.org").await;
    let (_, code) = invite(&house).await;
    let holder = Holder::session(bert.person.session);
    let address = fresh_address().parse().unwrap();
    let question = house.accounts.ask_invited_passkey(&code, holder, address).await.unwrap().unwrap();
    let (_, answer) = Authenticator::make("https://releases.example.org", &question.options);
    let new = NewPasskey { ceremony: question.ceremony, answer, name: "Key".into(), origin: origin("203.0.113.9") };
    let refused = house.accounts.add_passkey(&bert.person, new).await;
    assert!(matches!(refused, Err(FactorError::Over)), "{refused:?}");
    assert!(!house.accounts.factors(&bert.person).await.unwrap().any());
}

#[tokio::test]
async fn a_passkey_that_another_site_made_accepts_nothing() {
    // S-17
    let house = House::new().await;
    let (_, code) = invite(&house).await;
    let question = asked_for_key(&house, &code).await;
    let (_, answer) = Authenticator::make("https://releases.example.net", &question.options);
    let refused = accept_by_key(&house, &code, (&question, answer), browser()).await.unwrap_err();
    assert!(matches!(refused, LinkError::BadField { field: "passkey", .. }), "{refused:?}");
    assert!(accept(&house.accounts, &code, "Anna", PASSWORD).await.is_ok(), "the link still works");
}
