//! Authenticator apps and recovery codes: what counts, how often, and what the record says.

use std::time::Duration;

use countersign::accounts::By;
use countersign::accounts::factors::{FactorError, Proof, ProofError, Second, StepUpProof};
use countersign::accounts::sessions::ChangePasswordError;
use countersign::accounts::sign_in::SignedIn;
use countersign::accounts::{Accounts, NewSession};
use countersign::domain::people::Role;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, ask, browser, fresh_address, origin};
use crate::support::authenticator::App;

/// One step of an app.
const STEP: SignedDuration = SignedDuration::from_secs(30);

/// The password, and then this code.
pub async fn sign_in_with(accounts: &Accounts, code: &str) -> Result<NewSession, ProofError> {
    let begun = accounts.sign_in(ask(&fresh_address(), ANNA, PASSWORD)).await.unwrap();
    assert!(matches!(begun, SignedIn::NeedsSecond), "{begun:?}");
    second(accounts, code).await
}

async fn second(accounts: &Accounts, code: &str) -> Result<NewSession, ProofError> {
    let proof = Proof::Code(code.into());
    let second = Second { holder: browser(), proof, origin: origin("203.0.113.9"), replaces: None };
    Ok(accounts.finish_second(second).await?.0)
}

/// Anna, with an app and recovery codes.
async fn anna(house: &House, roles: &[Role]) -> (App, NewSession, Vec<String>) {
    house.account(ANNA, roles).await;
    let session = house.sign_in(ANNA).await;
    let all = house.add_app(&session).await;
    house.pass(STEP);
    all
}

#[tokio::test]
async fn with_an_app_the_password_alone_signs_nobody_in() {
    // S-15, S-16
    let house = House::new().await;
    let (app, first, codes) = anna(&house, &[Role::Approver]).await;
    assert_eq!(codes.len(), 10);
    assert_eq!(first.person.factor.as_deref(), Some("totp"), "a first code is a proof");
    let session = sign_in_with(&house.accounts, &app.code(house.clock.now())).await.unwrap();
    assert_eq!((session.person.method.as_str(), session.person.factor.as_deref()), ("password", Some("totp")));
    let started = house.records_of("session.started").await.pop().unwrap();
    assert_eq!((&started.payload["method"], &started.payload["factor"]), (&json!("password"), &json!("totp")));
    let added = &house.records_of("factor.added").await[0];
    assert_eq!((&added.payload["factor"], &added.payload["address"]), (&json!("totp"), &json!("203.0.113.9")));
    assert_eq!(house.records_of("factor.recovery_codes_made").await[0].payload["codes"], json!(10));
    house.verify().await;
}

#[tokio::test]
async fn a_code_counts_once_and_one_step_early_or_late() {
    // S-15
    let house = House::new().await;
    let (app, ..) = anna(&house, &[]).await;
    house.pass(STEP * 2);
    let now = house.clock.now();
    assert!(sign_in_with(&house.accounts, &app.code(now - STEP)).await.is_ok(), "a step late");
    let used = sign_in_with(&house.accounts, &app.code(now - STEP)).await.unwrap_err();
    assert_eq!(used.to_string(), "That code was used already. Wait until the app shows the next one.");
    assert!(sign_in_with(&house.replica(), &app.code(now)).await.is_ok(), "the next, at another replica");
    assert!(sign_in_with(&house.replica(), &app.code(now - STEP)).await.is_err(), "an earlier one than the last");
    assert!(sign_in_with(&house.accounts, &app.code(now + STEP)).await.is_ok(), "a step early");
    assert!(sign_in_with(&house.accounts, &app.code(now + STEP * 2)).await.is_err(), "two steps early");
    let refused: Vec<_> = house.records_of("factor.refused").await;
    let why: Vec<_> = refused.iter().map(|it| it.payload["why"].as_str().unwrap()).collect();
    assert_eq!(why, ["code used before", "code used before", "wrong code"]);
    house.verify().await;
}

#[tokio::test]
async fn one_code_at_two_replicas_at_once_signs_in_once() {
    // S-15
    let house = House::new().await;
    let (app, session, _) = anna(&house, &[]).await;
    let code = app.code(house.clock.now());
    let replica = house.replica();
    let proof = || StepUpProof::Factor(Proof::Code(code.as_str().into()));
    let (from, person) = (origin("203.0.113.9"), &session.person);
    let (one, two) =
        tokio::join!(house.accounts.step_up(person, proof(), &from), replica.step_up(person, proof(), &from));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test]
async fn after_five_wrong_codes_each_try_waits_longer_even_with_the_right_one() {
    // S-15, S-16: however often the password is given anew, and at every replica.
    let house = House::new().await;
    let (app, ..) = anna(&house, &[]).await;
    let wrong = || app.wrong_code(house.clock.now());
    for _ in 0..5 {
        assert!(matches!(sign_in_with(&house.accounts, &wrong()).await, Err(ProofError::Wrong(_))));
    }
    for seconds in [30, 60, 120] {
        let waits = sign_in_with(&house.replica(), &app.code(house.clock.now())).await.unwrap_err();
        let ProofError::TooMany { retry_after } = waits else { panic!("{waits:?}") };
        assert_eq!(retry_after, Duration::from_secs(seconds));
        house.pass(SignedDuration::try_from(retry_after).unwrap());
        assert!(matches!(sign_in_with(&house.accounts, &wrong()).await, Err(ProofError::Wrong(_))));
    }
    assert_eq!(house.records_of("sign_in.throttled").await.len(), 3);
    house.pass(SignedDuration::from_hours(1));
    sign_in_with(&house.accounts, &app.code(house.clock.now())).await.unwrap();
    house.pass(STEP);
    assert!(
        matches!(sign_in_with(&house.accounts, &wrong()).await, Err(ProofError::Wrong(_))),
        "success has cleared it"
    );
    house.verify().await;
}

#[tokio::test]
async fn a_sign_in_has_five_tries_and_five_minutes_for_the_second_step() {
    let house = House::new().await;
    let (app, ..) = anna(&house, &[]).await;
    // Recovery codes that are none do not make the app wait, but the step has an end all the same.
    assert!(matches!(sign_in_with(&house.accounts, "aaaa").await, Err(ProofError::Wrong(_))));
    for _ in 0..4 {
        assert!(matches!(second(&house.accounts, "aaaa").await, Err(ProofError::Wrong(_))));
    }
    assert!(matches!(second(&house.accounts, &app.code(house.clock.now())).await, Err(ProofError::Over)));
    let begun = house.accounts.sign_in(ask(&fresh_address(), ANNA, PASSWORD)).await.unwrap();
    assert!(matches!(begun, SignedIn::NeedsSecond));
    house.pass(SignedDuration::from_mins(5));
    assert!(matches!(second(&house.accounts, &app.code(house.clock.now())).await, Err(ProofError::Over)));
    // Somebody knew the password and nothing else: that is told.
    house.accounts.sweep_ceremonies().await.unwrap();
    let failed = house.records_of("sign_in.failed").await;
    assert_eq!(failed.last().unwrap().payload["why"], json!("the second factor was not given"));
}

#[tokio::test]
async fn another_browser_cannot_go_on_and_a_change_of_the_account_ends_it() {
    // S-17, S-27
    let house = House::new().await;
    let (app, session, _) = anna(&house, &[]).await;
    let begin = || house.accounts.sign_in(ask("203.0.113.9", ANNA, PASSWORD));
    begin().await.unwrap();
    let proof = Proof::Code(app.code(house.clock.now()).into());
    let holder = countersign::accounts::ceremonies::Holder::browser(b"another browser");
    let elsewhere = Second { holder, proof, origin: origin("203.0.113.9"), replaces: None };
    assert!(matches!(house.accounts.finish_second(elsewhere).await, Err(ProofError::Over)));
    house.accounts.disable(&By::Operator, session.person.account).await.unwrap();
    assert!(matches!(second(&house.accounts, &app.code(house.clock.now())).await, Err(ProofError::Over)));
    house.accounts.enable(&By::Operator, session.person.account).await.unwrap();
    assert!(matches!(second(&house.accounts, &app.code(house.clock.now())).await, Err(ProofError::Over)));
    assert!(sign_in_with(&house.accounts, &app.code(house.clock.now())).await.is_ok(), "the code was not used up");
}

#[tokio::test]
async fn a_recovery_code_lets_in_once_however_it_is_typed() {
    let house = House::new().await;
    let (_, session, codes) = anna(&house, &[]).await;
    let typed = codes[0].replace('-', " ").to_uppercase();
    let recovered = sign_in_with(&house.accounts, &typed).await.unwrap();
    assert_eq!(recovered.person.factor.as_deref(), Some("recovery"));
    assert!(matches!(sign_in_with(&house.accounts, &codes[0]).await, Err(ProofError::Wrong(_))), "used");
    assert_eq!(house.accounts.factors(&session.person).await.unwrap().recovery, 9);
    let renewed = house.accounts.renew_codes(&recovered.person).await.unwrap();
    assert_eq!(renewed.len(), 10);
    assert!(matches!(sign_in_with(&house.accounts, &codes[1]).await, Err(ProofError::Wrong(_))), "replaced");
    assert!(sign_in_with(&house.accounts, renewed[9].expose_secret()).await.is_ok());
    house.verify().await;
}

#[tokio::test]
async fn neither_an_apps_secret_nor_a_recovery_code_is_in_the_database() {
    // S-48: sealed and hashed.
    let house = House::new().await;
    house.account(ANNA, &[]).await;
    let session = house.sign_in(ANNA).await;
    house.accounts.begin_totp(&session.person).await.unwrap();
    let enrolment = house.accounts.find_enrolment(&session.person).await.unwrap().unwrap();
    let key = enrolment.text.expose_secret().replace(' ', "").to_uppercase();
    assert!(enrolment.url.expose_secret().starts_with("otpauth://totp/Countersign"), "{:?}", enrolment.url);
    assert!(enrolment.url.expose_secret().contains(&key));
    let secret = totp_rs::Secret::try_from_base32(&key).unwrap();
    let (_, _, codes) = house.add_app(&session).await;
    let dump = house.dump().await;
    for code in &codes {
        assert!(!dump.contains(code) && !dump.contains(&code.replace('-', "")));
    }
    assert!(!dump.contains(&hex::encode(secret.as_bytes())) && !dump.contains(&key));
    assert!(dump.contains("factor.added") || dump.contains("totp"), "the dump shows what is stored");
}

#[tokio::test]
async fn an_admin_has_no_admin_rights_until_this_session_has_shown_a_second_factor() {
    // S-15, S-25
    let house = House::new().await;
    house.account(ANNA, &[Role::Admin, Role::Auditor]).await;
    let (before, other) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    assert!(before.person.lacks_factor && !before.person.roles.admin && before.person.roles.auditor);
    assert!(By::admin(&before.person).is_none());
    let (_, after, _) = house.add_app(&before).await;
    assert!(house.who(&before).await.is_none(), "the session has another id");
    let person = house.who(&after).await.unwrap();
    assert!(person.roles.admin && !person.lacks_factor);
    assert!(house.who(&other).await.is_none(), "a session of before has shown nothing, and is ended");
}

#[tokio::test]
async fn an_admin_keeps_a_second_factor_and_others_may_give_theirs_up() {
    // S-15
    let house = House::new().await;
    house.account(ANNA, &[Role::Admin]).await;
    let session = house.sign_in_as_admin(ANNA).await;
    let refused = house.accounts.remove_totp(&session.person).await.unwrap_err();
    assert!(matches!(refused, FactorError::LastOfAdmin), "{refused:?}");
    assert!(refused.to_string().contains("Add another one before you remove this one"), "{refused}");
    let id = house.account("bert@example.org", &[Role::Approver]).await;
    let bert = house.sign_in("bert@example.org").await;
    let (_, bert, _) = house.add_app(&bert).await;
    house.accounts.remove_totp(&bert.person).await.unwrap();
    assert!(!house.accounts.factors(&bert.person).await.unwrap().any());
    let removed = &house.records_of("factor.removed").await[0];
    assert_eq!((&removed.payload["person"], &removed.payload["recovery_codes_removed"]), (&json!(id), &json!(10)));
    assert!(house.who(&bert).await.is_some(), "nothing else ended");
    house.sign_in("bert@example.org").await;
    house.verify().await;
}

#[tokio::test]
async fn factors_change_only_for_who_has_just_proven_who_they_are() {
    let house = House::new().await;
    let (app, session, _) = anna(&house, &[]).await;
    house.pass(SignedDuration::from_mins(6));
    let stale = house.who(&session).await.unwrap();
    assert!(matches!(house.accounts.renew_codes(&stale).await, Err(FactorError::ProveFirst)));
    assert!(matches!(house.accounts.remove_totp(&stale).await, Err(FactorError::ProveFirst)));
    assert!(matches!(house.accounts.begin_totp(&stale).await, Err(FactorError::ProveFirst)));
    let proof = StepUpProof::Factor(Proof::Code(app.code(house.clock.now()).into()));
    let fresh = house.accounts.step_up(&stale, proof, &origin("203.0.113.9")).await.unwrap();
    assert!(house.accounts.renew_codes(&fresh.person).await.is_ok());
}

#[tokio::test]
async fn a_password_is_no_proof_once_there_is_a_factor() {
    // Who stole a password and was quicker with it than its person with their first factor adds none of their own.
    let house = House::new().await;
    house.account(ANNA, &[]).await;
    let (own, thief) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    house.add_app(&own).await;
    assert!(matches!(house.accounts.begin_totp(&thief.person).await, Err(FactorError::ProveFirst)));
    let proof = StepUpProof::Password(PASSWORD.into());
    let refused = house.accounts.step_up(&thief.person, proof, &origin("203.0.113.9")).await;
    assert!(matches!(refused, Err(ProofError::Over)), "{refused:?}");
}

#[tokio::test]
async fn proving_afresh_gives_the_session_another_id() {
    // S-18, S-25
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let before = house.sign_in(ANNA).await;
    house.pass(SignedDuration::from_mins(6));
    assert!(!house.who(&before).await.unwrap().is_fresh(house.clock.now()));
    let wrong = StepUpProof::Password("not this one at all".into());
    let refused = house.accounts.step_up(&before.person, wrong, &origin("203.0.113.9")).await.unwrap_err();
    assert_eq!(refused.to_string(), "The password is wrong.");
    assert!(house.who(&before).await.is_some(), "a wrong proof ends nothing");
    let proof = StepUpProof::Password(PASSWORD.into());
    let after = house.accounts.step_up(&before.person, proof, &origin("203.0.113.9")).await.unwrap();
    assert!(house.who(&before).await.is_none(), "the old id is nobody's");
    let person = house.who(&after).await.unwrap();
    assert!(person.is_fresh(house.clock.now()));
    assert_eq!(person.session, before.person.session, "it is the same session");
    let told = &house.records_of("session.stepped_up").await[0].payload;
    assert_eq!((&told["factor"], &told["session_before"]), (&json!("password"), &json!(before.person.session_mark)));
    assert_eq!(told["session"], json!(person.session_mark));
    house.pass(SignedDuration::from_secs(301));
    assert!(!house.who(&after).await.unwrap().is_fresh(house.clock.now()), "it counts for five minutes");
    house.verify().await;
}

#[tokio::test]
async fn a_record_names_the_proof_that_was_given_and_not_an_earlier_one() {
    // S-18, A-12
    let house = House::new().await;
    let (_, session, _) = anna(&house, &[Role::Approver]).await;
    assert_eq!(session.person.proven_by.as_deref(), Some("totp"));
    house.accounts.remove_totp(&session.person).await.unwrap();
    house.pass(SignedDuration::from_mins(6));
    let proof = StepUpProof::Password(PASSWORD.into());
    let after = house.accounts.step_up(&session.person, proof, &origin("203.0.113.9")).await.unwrap();
    assert_eq!(house.who(&after).await.unwrap().proven_by.as_deref(), Some("password"));
    let told = house.records_of("session.stepped_up").await.pop().unwrap();
    assert_eq!(told.payload["factor"], json!("password"));
    house.verify().await;
}

#[tokio::test]
async fn whoever_is_signed_in_writes_no_more_records_than_a_stranger() {
    //
    let house = House::new().await;
    let (_, session, _) = anna(&house, &[]).await;
    let mut told = (0, 0);
    for _ in 0..15 {
        let proof = StepUpProof::Factor(Proof::Code("aaaa-aaaa-aaaa".into()));
        match house.accounts.step_up(&session.person, proof, &origin("203.0.113.9")).await.unwrap_err() {
            ProofError::Wrong(_) => told.0 += 1,
            ProofError::TooMany { .. } => told.1 += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, (10, 5));
    assert_eq!(house.records_of("factor.refused").await.len(), 10);

    for n in 0..40 {
        let email = format!("half{n}@example.org");
        house.account(&email, &[]).await;
        let mine = house.sign_in(&email).await;
        house.add_app(&mine).await;
        let holder = countersign::accounts::ceremonies::Holder::browser(email.as_bytes());
        let ask = countersign::accounts::sign_in::SignIn { holder, ..ask(&fresh_address(), &email, PASSWORD) };
        assert!(matches!(house.accounts.sign_in(ask).await.unwrap(), SignedIn::NeedsSecond));
    }
    house.pass(SignedDuration::from_mins(5));
    house.accounts.sweep_ceremonies().await.unwrap();
    assert_eq!(house.records_of("sign_in.failed").await.len(), 25, "of forty who knew a password and no more");
    house.verify().await;
}

#[tokio::test]
async fn beside_a_factor_a_password_may_be_short_and_then_the_factor_stays() {
    // S-01
    let house = House::new().await;
    let (app, session, _) = anna(&house, &[]).await;
    let change = async |from: &NewSession, current: &str, new: &str| {
        house.accounts.change_password(&from.person, current.into(), new.into(), origin(&fresh_address())).await
    };
    let short = change(&session, PASSWORD, "vB7 qLm").await.unwrap_err();
    assert!(matches!(short, ChangePasswordError::Refused(_)) && short.to_string().contains("at least 8"), "{short}");
    let session = change(&session, PASSWORD, "vB7 qLm!").await.unwrap();
    assert_eq!(session.person.factor.as_deref(), Some("totp"), "the session has shown what it had shown");
    let refused = house.accounts.remove_totp(&session.person).await.unwrap_err();
    assert!(matches!(refused, FactorError::PasswordShort), "{refused:?}");
    let reset = house.accounts.reset_factors(&By::Operator, session.person.account).await.unwrap_err();
    assert!(reset.to_string().contains("Give them a new password first"), "{reset}");
    let session = change(&session, "vB7 qLm!", "seven geese over the quiet harbour").await.unwrap();
    house.accounts.remove_totp(&session.person).await.unwrap();
    let short = change(&session, "seven geese over the quiet harbour", "vB7 qLm!").await.unwrap_err();
    assert!(short.to_string().contains("at least 15"), "{short}");
    let _ = app;
}

#[tokio::test]
async fn the_operator_takes_lost_factors_away_and_ends_the_sessions() {
    let house = House::new().await;
    let (_, session, _) = anna(&house, &[Role::Admin]).await;
    assert!(house.accounts.reset_factors(&By::Operator, session.person.account).await.unwrap());
    assert!(house.who(&session).await.is_none());
    let again = house.sign_in(ANNA).await;
    assert!(again.person.lacks_factor, "and the admin needs another one");
    let removed = &house.records_of("factor.removed").await[0];
    assert_eq!((removed.actor.as_str(), &removed.payload["factor"]), ("operator", &json!("all")));
    assert!(!house.accounts.reset_factors(&By::Operator, session.person.account).await.unwrap(), "twice is once");
    house.verify().await;
}

#[tokio::test]
async fn without_the_record_no_factor_is_added() {
    //
    let house = House::new().await;
    house.account(ANNA, &[]).await;
    let session = house.sign_in(ANNA).await;
    house.accounts.begin_totp(&session.person).await.unwrap();
    let enrolment = house.accounts.find_enrolment(&session.person).await.unwrap().unwrap();
    let code = App::told(enrolment.text.expose_secret()).code(house.clock.now()).into();
    let mut conn = house.test.connect_superuser().await;
    sqlx::query("revoke execute on function audit.append from countersign_app").execute(&mut conn).await.unwrap();
    let refused = house.accounts.confirm_totp(&session.person, &code, &origin("203.0.113.9")).await;
    assert!(matches!(refused, Err(FactorError::Unavailable(_))), "{refused:?}");
    assert!(!house.accounts.factors(&session.person).await.unwrap().any());
    assert!(house.who(&session).await.is_some(), "the session kept its id");
}
