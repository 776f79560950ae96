//! Passkeys against every way to cheat with them (S-17), with a key of software that does as the story says.

use countersign::accounts::By;
use countersign::accounts::NewSession;
use countersign::accounts::ceremonies::Holder;
use countersign::accounts::factors::{
    Asked, FactorError, NewPasskey, PasskeySignIn, Proof, ProofError, Second, StepUpProof,
};
use countersign::accounts::sign_in::{SignInError, SignedIn};
use countersign::domain::people::Role;
use jiff::SignedDuration;
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, WRONG, ask, browser, fresh_address, origin};
use crate::support::authenticator::Authenticator;

const HERE: &str = "https://releases.example.org";

/// Adds a passkey to who is signed in; the session goes on under another id with the first one.
pub async fn add(house: &House, session: &NewSession, name: &str) -> (Authenticator, Option<NewSession>) {
    let Asked { ceremony, options } = house.accounts.ask_new_passkey(&session.person).await.unwrap();
    let (key, answer) = Authenticator::make(HERE, &options);
    let new = NewPasskey { ceremony, answer, name: name.into(), origin: origin("203.0.113.9") };
    let added = house.accounts.add_passkey(&session.person, new).await.unwrap();
    (key, added.session)
}

/// Anna, with a passkey.
async fn anna(house: &House) -> (Authenticator, NewSession) {
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let (key, session) = add(house, &session, "Key on my ring").await;
    (key, session.unwrap())
}

async fn asked(house: &House) -> Asked {
    house.accounts.ask_sign_in(browser(), &origin(&fresh_address())).await.unwrap().unwrap()
}

async fn sign_in(house: &House, question: &Asked, answer: String) -> Result<NewSession, SignInError> {
    let (ceremony, holder) = (question.ceremony, browser());
    let ask = PasskeySignIn { ceremony, answer, holder, origin: origin("203.0.113.9"), replaces: None };
    house.accounts.sign_in_with_passkey(ask).await
}

/// Why the record says that the last passkey was refused.
async fn refused(house: &House) -> String {
    let last = house.records_of("factor.refused").await.pop().unwrap();
    assert_eq!(last.payload["factor"], json!("passkey"));
    last.payload["why"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_passkey_alone_signs_in_and_the_record_says_so() {
    // S-17, S-16
    let house = House::new().await;
    let (mut key, first) = anna(&house).await;
    assert_eq!(first.person.factor.as_deref(), Some("passkey"));
    let question = asked(&house).await;
    assert_eq!(question.options["publicKey"]["allowCredentials"], json!([]), "nobody is named");
    assert_eq!(question.options["publicKey"]["rpId"], json!("releases.example.org"));
    let answer = key.prove(&question.options);
    let session = sign_in(&house, &question, answer).await.unwrap();
    assert_eq!((session.person.method.as_str(), session.person.factor.as_deref()), ("passkey", Some("passkey")));
    assert_eq!(house.who(&session).await.unwrap().email, ANNA);
    let added = &house.records_of("factor.added").await[0].payload;
    assert_eq!((&added["name"], &added["public_key"]["crv"]), (&json!("Key on my ring"), &json!("P-256")));
    house.verify().await;
}

#[tokio::test]
async fn a_passkey_is_a_second_factor_beside_the_password_too() {
    let house = House::new().await;
    let (mut key, _) = anna(&house).await;
    let begun = house.accounts.sign_in(ask(&fresh_address(), ANNA, PASSWORD)).await.unwrap();
    assert!(matches!(begun, SignedIn::NeedsSecond));
    let Asked { ceremony, options } = house.accounts.ask_second_passkey(browser()).await.unwrap().unwrap();
    let proof = Proof::Passkey { ceremony, answer: key.prove(&options) };
    let second = Second { holder: browser(), proof, origin: origin("203.0.113.9"), replaces: None };
    let (session, return_to) = house.accounts.finish_second(second).await.unwrap();
    assert_eq!((session.person.method.as_str(), session.person.factor.as_deref()), ("password", Some("passkey")));
    assert_eq!(return_to, "/");
}

#[tokio::test]
async fn failed_passwords_are_no_obstacle_to_a_passkey() {
    // S-11
    let house = House::new().await;
    let (mut key, _) = anna(&house).await;
    for _ in 0..100 {
        assert!(matches!(house.try_in(ANNA, WRONG).await, Err(SignInError::Wrong)));
        house.pass(SignedDuration::from_secs(900));
    }
    assert!(matches!(house.try_in(ANNA, PASSWORD).await, Err(SignInError::Wrong)), "the password is off");
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    sign_in(&house, &question, answer).await.unwrap();
}

#[tokio::test]
async fn an_answer_counts_once_in_its_browser_for_its_purpose_and_for_five_minutes() {
    // S-17
    let house = House::new().await;
    let (mut key, session) = anna(&house).await;
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    sign_in(&house, &question, answer.clone()).await.unwrap();
    assert!(matches!(sign_in(&house, &question, answer.clone()).await, Err(SignInError::Wrong)), "a replay");
    let other = asked(&house).await;
    assert!(matches!(sign_in(&house, &other, answer).await, Err(SignInError::Wrong)), "under another question");
    assert_eq!(refused(&house).await, "it answers another challenge");

    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    let elsewhere = PasskeySignIn {
        ceremony: question.ceremony,
        answer: answer.clone(),
        holder: Holder::browser(b"another browser"),
        origin: origin("203.0.113.9"),
        replaces: None,
    };
    assert!(matches!(house.accounts.sign_in_with_passkey(elsewhere).await, Err(SignInError::Wrong)));

    let step_up = house.accounts.ask_step_up(&session.person).await.unwrap().unwrap();
    let answer = key.prove(&step_up.options);
    assert!(matches!(sign_in(&house, &step_up, answer).await, Err(SignInError::Wrong)), "for another purpose");

    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    house.pass(SignedDuration::from_mins(5));
    assert!(matches!(sign_in(&house, &question, answer).await, Err(SignInError::Wrong)), "too old");
    house.verify().await;
}

#[tokio::test]
async fn a_question_is_gone_after_the_first_look_also_when_the_answer_was_wrong() {
    // S-17
    let house = House::new().await;
    let (mut key, _) = anna(&house).await;
    let question = asked(&house).await;
    key.verified = false;
    let bad = key.prove(&question.options);
    assert!(matches!(sign_in(&house, &question, bad).await, Err(SignInError::Wrong)));
    key.verified = true;
    let good = key.prove(&question.options);
    assert!(matches!(sign_in(&house, &question, good).await, Err(SignInError::Wrong)), "it was looked at");
}

#[tokio::test]
async fn what_was_made_elsewhere_for_another_or_without_its_person_is_refused() {
    // S-17
    let house = House::new().await;
    let (mut key, _) = anna(&house).await;
    type Lie = (fn(&mut Authenticator), &'static str);
    let lies: [Lie; 7] = [
        (|key| key.origin = "https://releases.example.org.evil.example".into(), "it was made at another address"),
        (|key| key.origin = "http://releases.example.org".into(), "it was made at another address"),
        (|key| key.rp_id = "evil.example".into(), "it was made for another host name"),
        (|key| key.kind = "webauthn.create", "it answers another kind of question"),
        (|key| key.verified = false, "its person was not verified"),
        (|key| key.present = false, "nobody was present"),
        (|key| key.cross_origin = true, "it was asked for within another site's page"),
    ];
    for (lie, why) in lies {
        let question = asked(&house).await;
        let (origin, rp_id) = (key.origin.clone(), key.rp_id.clone());
        lie(&mut key);
        let answer = key.prove(&question.options);
        let answered = sign_in(&house, &question, answer).await;
        assert!(matches!(answered, Err(SignInError::Wrong)), "{why}: {answered:?}");
        assert_eq!(refused(&house).await, why);
        key.honest(origin, rp_id);
    }
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    let forged = answer.replace("\"signature\":\"M", "\"signature\":\"N");
    assert_ne!(forged, answer, "a signature begins with a sequence");
    assert!(matches!(sign_in(&house, &question, forged).await, Err(SignInError::Wrong)));
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    sign_in(&house, &question, answer).await.expect("and the same key is good when it does not lie");
    house.verify().await;
}

#[tokio::test]
async fn a_counter_that_goes_back_is_refused_recorded_and_told_and_the_passkey_is_never_taken_again() {
    // S-17
    let house = House::new().await;
    let (mut key, session) = anna(&house).await;
    key.counter = 40;
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    sign_in(&house, &question, answer).await.unwrap();
    key.counter = 39;
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    assert!(matches!(sign_in(&house, &question, answer).await, Err(SignInError::Wrong)));
    assert_eq!(refused(&house).await, "its counter went back: there may be a copy of it");
    let told = &house.accounts.factors(&session.person).await.unwrap().passkeys[0];
    assert_eq!(told.suspect_at, Some(house.clock.now()), "its person sees it");
    key.counter = 100;
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    assert!(
        matches!(sign_in(&house, &question, answer).await, Err(SignInError::Wrong)),
        "nor is the copy that was ahead"
    );
    assert_eq!(refused(&house).await, "there may be a copy of it");
    let begun = house.accounts.sign_in(ask(&fresh_address(), ANNA, PASSWORD)).await.unwrap();
    assert!(matches!(begun, SignedIn::NeedsSecond), "the password alone is not enough for that");
    assert!(!house.accounts.second_step(browser()).await.unwrap().unwrap().passkey);
    house.verify().await;
}

#[tokio::test]
async fn of_two_tabs_the_one_that_answers_late_makes_no_copy_of_a_key() {
    // S-17
    let house = House::new().await;
    let (mut key, session) = anna(&house).await;
    key.counter = 40;
    let (first, second) = (asked(&house).await, asked(&house).await);
    let (early, late) = (key.prove(&first.options), key.prove(&second.options));
    house.pass(SignedDuration::from_secs(1));
    sign_in(&house, &second, late).await.unwrap();
    assert!(matches!(sign_in(&house, &first, early).await, Err(SignInError::Wrong)), "not taken all the same");
    assert_eq!(refused(&house).await, "its counter went back: there may be a copy of it");
    assert_eq!(house.accounts.factors(&session.person).await.unwrap().passkeys[0].suspect_at, None);
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    sign_in(&house, &question, answer).await.unwrap();
}

#[tokio::test]
async fn a_passkey_that_is_taken_no_more_is_no_factor_to_be_left_with() {
    // S-15
    let house = House::new().await;
    house.account(ANNA, &[Role::Admin]).await;
    let session = house.sign_in(ANNA).await;
    let (_, session) = add(&house, &session, "Copied").await;
    let session = session.unwrap();
    add(&house, &session, "Good").await;
    let list = house.accounts.factors(&session.person).await.unwrap().passkeys;
    let of = |name: &str| list.iter().find(|passkey| passkey.name == name).unwrap().id;
    let mut conn = house.test.connect_superuser().await;
    sqlx::query("update portal.passkey set suspect_at = now() where name = 'Copied'").execute(&mut conn).await.unwrap();
    let refused = house.accounts.remove_passkey(&session.person, of("Good")).await;
    assert!(matches!(refused, Err(FactorError::LastOfAdmin)), "{refused:?}");
    house.accounts.remove_passkey(&session.person, of("Copied")).await.unwrap();
}

#[tokio::test]
async fn a_passkey_that_is_nobodys_or_whose_account_is_disabled_looks_the_same() {
    // S-10, S-27
    let house = House::new().await;
    let (mut key, session) = anna(&house).await;
    let question = asked(&house).await;
    let (mut unknown, _) =
        Authenticator::make(HERE, &house.accounts.ask_new_passkey(&session.person).await.unwrap().options);
    let answer = unknown.prove_anyhow(&question.options["publicKey"]["challenge"]);
    let nobody = sign_in(&house, &question, answer).await.unwrap_err();
    house.accounts.disable(&By::Operator, session.person.account).await.unwrap();
    let question = asked(&house).await;
    let answer = key.prove(&question.options);
    let disabled = sign_in(&house, &question, answer).await.unwrap_err();
    assert_eq!(nobody.to_string(), disabled.to_string());
    assert_eq!(refused(&house).await, "disabled");
    let question = asked(&house).await;
    assert!(matches!(sign_in(&house, &question, "{}".into()).await, Err(SignInError::Wrong)), "nonsense too");
}

#[tokio::test]
async fn a_passkey_is_made_only_as_it_was_asked_for() {
    // S-17
    let house = House::new().await;
    house.account(ANNA, &[]).await;
    let session = house.sign_in(ANNA).await;
    let make = async |lie: fn(&mut Authenticator)| {
        let Asked { ceremony, options } = house.accounts.ask_new_passkey(&session.person).await.unwrap();
        let (mut key, _) = Authenticator::make(HERE, &options);
        lie(&mut key);
        let answer = key.answer_to_make(&options["publicKey"]["challenge"]);
        let new = NewPasskey { ceremony, answer, name: "Key".into(), origin: origin("203.0.113.9") };
        house.accounts.add_passkey(&session.person, new).await
    };
    for (lie, why) in [
        (
            (|key| key.origin = "https://evil.example".into()) as fn(&mut Authenticator),
            "it was made at another address",
        ),
        (|key| key.rp_id = "evil.example".into(), "it was made for another host name"),
        (|key| key.verified = false, "its person was not verified"),
        (|key| key.cross_origin = true, "it was asked for within another site's page"),
    ] {
        let made = make(lie).await;
        assert!(matches!(made, Err(FactorError::Wrong(_))), "{why}: {made:?}");
        assert_eq!(refused(&house).await, why);
    }
    assert!(!house.accounts.factors(&session.person).await.unwrap().any());
    assert!(make(|_| ()).await.is_ok());
}

#[tokio::test]
async fn several_passkeys_have_names_and_go_one_by_one() {
    let house = House::new().await;
    let (_, session) = anna(&house).await;
    house.pass(SignedDuration::from_secs(1));
    let (_, same) = add(&house, &session, "Phone").await;
    assert!(same.is_none(), "a further factor changes nothing about the session");
    let list = house.accounts.factors(&session.person).await.unwrap().passkeys;
    let names: Vec<_> = list.iter().map(|passkey| passkey.name.as_str()).collect();
    assert_eq!(names, ["Key on my ring", "Phone"]);
    house.accounts.rename_passkey(&session.person, list[1].id, " Old phone ").await.unwrap();
    let bad = house.accounts.rename_passkey(&session.person, list[1].id, "a\u{202e}b").await;
    assert!(matches!(bad, Err(FactorError::BadName(_))), "{bad:?}");
    house.accounts.remove_passkey(&session.person, list[1].id).await.unwrap();
    let gone = house.accounts.remove_passkey(&session.person, list[1].id).await;
    assert!(matches!(gone, Err(FactorError::NoSuchPasskey)), "{gone:?}");
    house.account("bert@example.org", &[]).await;
    let bert = house.sign_in("bert@example.org").await;
    let foreign = house.accounts.remove_passkey(&bert.person, list[0].id).await;
    assert!(matches!(foreign, Err(FactorError::NoSuchPasskey)), "{foreign:?}");
    let renamed = &house.records_of("factor.renamed").await[0].payload;
    assert_eq!((&renamed["name_before"], &renamed["name"]), (&json!("Phone"), &json!("Old phone")));
    assert_eq!(house.records_of("factor.removed").await[0].payload["name"], json!("Old phone"));
    house.verify().await;
}

#[tokio::test]
async fn a_passkey_proves_afresh_who_its_person_is() {
    // S-18, S-25
    let house = House::new().await;
    let (mut key, session) = anna(&house).await;
    house.pass(SignedDuration::from_mins(6));
    let stale = house.who(&session).await.unwrap();
    assert!(!stale.is_fresh(house.clock.now()));
    let Asked { ceremony, options } = house.accounts.ask_step_up(&stale).await.unwrap().unwrap();
    let proof = StepUpProof::Factor(Proof::Passkey { ceremony, answer: key.prove(&options) });
    let fresh = house.accounts.step_up(&stale, proof, &origin("203.0.113.9")).await.unwrap();
    assert!(house.who(&session).await.is_none());
    assert!(house.who(&fresh).await.unwrap().is_fresh(house.clock.now()));
    let told = house.records_of("session.stepped_up").await.pop().unwrap().payload;
    assert_eq!((&told["factor"], &told["passkey"]["name"]), (&json!("passkey"), &json!("Key on my ring")));
    // Another person's key proves nothing here.
    house.account("bert@example.org", &[]).await;
    let bert = house.sign_in("bert@example.org").await;
    let (mut other, _) = add(&house, &bert, "Bert's").await;
    let Asked { ceremony, options } = house.accounts.ask_step_up(&fresh.person).await.unwrap().unwrap();
    let answer = other.prove_anyhow(&options["publicKey"]["challenge"]);
    let proof = StepUpProof::Factor(Proof::Passkey { ceremony, answer });
    let foreign = house.accounts.step_up(&fresh.person, proof, &origin("203.0.113.9")).await;
    assert!(matches!(foreign, Err(ProofError::Wrong(_))), "{foreign:?}");
    assert_eq!(refused(&house).await, "it is no passkey of theirs");
    house.verify().await;
}
