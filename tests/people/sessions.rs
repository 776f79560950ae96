//! How long a session lives, who ends it, and how a password is changed.

use countersign::accounts::By;
use countersign::accounts::admin::AdminError;
use countersign::accounts::factors::{FactorError, NewPasskey};
use countersign::accounts::oneself::OwnError;
use countersign::accounts::sessions::ChangePasswordError;
use countersign::domain::people::Role;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, WRONG, fresh_address, origin};
use crate::support::authenticator::Authenticator;

const NEW: &str = "seven green bottles on a wall";

#[tokio::test]
async fn half_an_hour_without_a_click_ends_a_session() {
    // S-26
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    for _ in 0..3 {
        house.pass(SignedDuration::from_mins(29));
        assert!(house.who(&session).await.is_some(), "a click keeps it alive");
    }
    house.pass(SignedDuration::from_mins(30));
    assert!(house.who(&session).await.is_none());
}

#[tokio::test]
async fn background_fetches_do_not_keep_a_session_alive() {
    // S-26
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    for _ in 0..29 {
        house.pass(SignedDuration::from_mins(1));
        let secret = session.cookie_secret.expose_secret();
        assert!(house.accounts.person(secret, "192.0.2.1".parse().unwrap(), false).await.unwrap().is_some());
    }
    house.pass(SignedDuration::from_mins(1));
    assert!(house.who(&session).await.is_none());
}

#[tokio::test]
async fn eight_hours_end_a_session_however_busy() {
    // S-26
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    assert_eq!(session.expires_at, house.clock.now() + SignedDuration::from_hours(8));
    for _ in 0..31 {
        house.pass(SignedDuration::from_mins(15));
        assert!(house.who(&session).await.is_some());
    }
    house.pass(SignedDuration::from_mins(15));
    assert!(house.who(&session).await.is_none());
}

#[tokio::test]
async fn last_seen_is_written_once_a_minute() {
    // H-09
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let seen = async || house.accounts.list_sessions(&session.person).await.unwrap()[0].last_seen_at;
    let begun = seen().await;
    house.pass(SignedDuration::from_secs(59));
    house.who(&session).await.unwrap();
    assert_eq!(seen().await, begun);
    house.pass(SignedDuration::from_secs(1));
    house.who(&session).await.unwrap();
    assert_eq!(seen().await, begun + SignedDuration::from_secs(60));
    assert_eq!(house.accounts.list().await.unwrap()[0].last_seen_at, Some(begun + SignedDuration::from_secs(60)));
}

#[tokio::test]
async fn what_is_no_cookie_of_ours_is_nobody() {
    // S-23, S-25
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let good = session.cookie_secret.expose_secret();
    let flipped = format!("{}{}", if good.starts_with('A') { 'B' } else { 'A' }, &good[1..]);
    for bad in ["", "x", &flipped, &good[..42], &format!("{good}="), &format!("{good}A"), "' or 1=1 --", "é"] {
        let found = house.accounts.person(bad, "192.0.2.1".parse().unwrap(), true).await.unwrap();
        assert!(found.is_none(), "{bad:?}");
    }
}

#[tokio::test]
async fn each_session_has_form_secrets_of_its_own() {
    // S-38
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let secret = async |session: &countersign::accounts::NewSession| {
        let cookie = session.cookie_secret.expose_secret();
        house.accounts.person(cookie, "192.0.2.1".parse().unwrap(), true).await.unwrap().unwrap().1
    };
    let (one, two) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    assert_eq!(secret(&one).await, secret(&one).await);
    assert_ne!(secret(&one).await, secret(&two).await);
    assert_eq!(format!("{:?}", secret(&one).await), "CsrfSecret([redacted])");
}

#[tokio::test]
async fn after_signing_out_the_next_request_is_nobodys_on_every_replica() {
    // S-27
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let replica = house.replica();
    assert!(crate::house::who(&replica, &session).await.is_some());
    house.accounts.sign_out(&session.person).await.unwrap();
    assert!(crate::house::who(&replica, &session).await.is_none());
    house.accounts.sign_out(&session.person).await.unwrap();
    let ended = house.records_of("session.ended").await;
    assert_eq!(ended.len(), 1, "signing out twice is one event");
    assert_eq!(ended[0].payload["why"], json!("signed out"));
    assert_eq!(ended[0].payload["by"]["address"], json!(session.person.address));
}

#[tokio::test]
async fn a_person_sees_their_sessions_and_ends_one_or_all_others() {
    // S-28
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    house.account("bert@example.org", &[Role::Approver]).await;
    let (phone, desk, lost) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    let foreign = house.sign_in("bert@example.org").await;
    let listed = house.accounts.list_sessions(&desk.person).await.unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(
        listed.iter().filter(|session| session.current).map(|session| session.id).collect::<Vec<_>>(),
        [desk.person.session]
    );
    assert!(
        listed.iter().all(|session| session.user_agent.starts_with("Firefox") && session.address.starts_with("10."))
    );
    assert!(house.accounts.end_session(&desk.person, lost.person.session).await.unwrap());
    assert!(house.who(&lost).await.is_none());
    assert!(!house.accounts.end_session(&desk.person, foreign.person.session).await.unwrap(), "somebody else's");
    assert!(house.who(&foreign).await.is_some());
    assert_eq!(house.accounts.end_other_sessions(&desk.person).await.unwrap(), 1);
    assert!(house.who(&phone).await.is_none() && house.who(&desk).await.is_some());
    let ended = house.records_of("session.ended").await;
    assert_eq!(ended.len(), 2);
    assert_eq!(ended[1].payload["sessions"], json!([phone.person.session_mark]));
    house.verify().await;
}

#[tokio::test]
async fn where_a_session_was_last_seen_is_kept_while_it_is_elsewhere() {
    // S-28, H-09: written along with the time, once a minute.
    let house = House::new().await;
    house.account(ANNA, &[]).await;
    let session = house.try_from("198.51.100.7", ANNA, PASSWORD).await.unwrap();
    let last = async || house.accounts.list_sessions(&session.person).await.unwrap()[0].last_address.clone();
    let click = async |from: &str| {
        house.pass(SignedDuration::from_mins(1));
        let secret = session.cookie_secret.expose_secret();
        house.accounts.person(secret, from.parse().unwrap(), true).await.unwrap().unwrap()
    };
    click("198.51.100.7").await;
    assert_eq!(last().await, None);
    click("2001:db8::7").await;
    assert_eq!(last().await.as_deref(), Some("2001:db8::7"));
    click("198.51.100.7").await;
    assert_eq!(last().await, None);
}

#[tokio::test]
async fn somebody_disabled_changes_nothing_about_themselves() {
    // S-27
    let house = House::new().await;
    let id = house.account(ANNA, &[]).await;
    let session = house.sign_in(ANNA).await;
    house.accounts.disable(&By::Operator, id).await.unwrap();
    let name = house.accounts.change_own_name(&session.person, "Anna B").await.unwrap_err();
    let zone = house.accounts.change_time_zone(&session.person, "Europe/Berlin").await.unwrap_err();
    assert!(matches!((name, zone), (OwnError::SignedOut, OwnError::SignedOut)));
    assert!(house.records_of("account.changed").await.is_empty());
}

#[tokio::test]
async fn without_the_record_no_name_is_changed() {
    //
    let house = House::new().await;
    house.account(ANNA, &[]).await;
    let session = house.sign_in(ANNA).await;
    let mut conn = house.test.connect_superuser().await;
    sqlx::query("revoke execute on function audit.append from countersign_app").execute(&mut conn).await.unwrap();
    let failed = house.accounts.change_own_name(&session.person, "Anna B").await.unwrap_err();
    assert!(matches!(failed, OwnError::Unavailable(_)), "{failed:?}");
    assert_ne!(house.who(&session).await.unwrap().name, "Anna B");
}

#[tokio::test]
async fn a_new_password_ends_every_session_and_begins_one() {
    // S-06, S-25
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let (old, other) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    let changed = house.accounts.change_password(&old.person, PASSWORD.into(), NEW.into(), origin(&fresh_address()));
    let new = changed.await.unwrap();
    assert!(house.who(&old).await.is_none() && house.who(&other).await.is_none());
    assert_eq!(house.who(&new).await.unwrap().account, id);
    assert!(house.try_in(ANNA, PASSWORD).await.is_err());
    assert!(house.try_in(ANNA, NEW).await.is_ok());
    let changed = &house.records_of("account.password_changed").await[0];
    assert_eq!(changed.payload["sessions_ended"], json!(2));
    assert_eq!(changed.actor, format!("account:{id}"));
    assert!(!house.dump().await.contains(NEW));
}

#[tokio::test]
async fn a_password_is_changed_only_by_who_knows_it_and_only_to_a_good_one() {
    // S-06, S-01, S-03; a stolen session is no way around the limits of S-11
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let change = async |current: &str, new: &str| {
        house
            .accounts
            .change_password(&session.person, current.into(), new.into(), origin("192.0.2.1"))
            .await
            .unwrap_err()
    };
    let short = change(PASSWORD, "short").await;
    assert!(short.to_string().contains("at least 15 characters"), "{short}");
    assert!(change(PASSWORD, "passwordpassword").await.to_string().contains("repeats a short piece"));
    assert!(change(PASSWORD, ANNA).await.to_string().contains("your e-mail address"));
    assert!(change(PASSWORD, "releases.example.org").await.to_string().contains("the address of this site"));
    assert!(change(PASSWORD, "2026-UMBRELLA-2026").await.to_string().contains("forbids"));
    assert_eq!(change(PASSWORD, PASSWORD).await.to_string(), "The new password is the current one.");
    let failures = change_until_it_waits(&house, &session).await;
    assert_eq!(failures, 5, "what was refused before looking at the current password is no failure");
    assert!(house.who(&session).await.is_some());
    assert_eq!(house.records_of("account.password_changed").await.len(), 0);
}

async fn change_until_it_waits(house: &House, session: &countersign::accounts::NewSession) -> usize {
    for wrong in 0..10 {
        let changed = house.accounts.change_password(&session.person, WRONG.into(), NEW.into(), origin("192.0.2.1"));
        match changed.await.unwrap_err() {
            ChangePasswordError::WrongCurrent => {}
            ChangePasswordError::TooMany { .. } => return wrong,
            other => panic!("{other:?}"),
        }
    }
    panic!("guessing the current password has no limit")
}

#[tokio::test]
async fn an_ended_session_cannot_change_the_password() {
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let (stolen, own) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    house.accounts.end_other_sessions(&own.person).await.unwrap();
    let refused =
        house.accounts.change_password(&stolen.person, PASSWORD.into(), NEW.into(), origin("192.0.2.1")).await;
    assert!(matches!(refused, Err(ChangePasswordError::SignedOut)), "{refused:?}");
    assert!(house.who(&own).await.is_some(), "and nobody else was signed out by it");
    assert!(house.try_in(ANNA, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn what_was_asked_for_in_a_session_that_has_ended_since_is_not_done() {
    // S-28: a request may be past the door when its session ends.
    let house = House::new().await;
    let anna = house.account(ANNA, &[Role::Approver]).await;
    house.account("boss@example.org", &[Role::Admin]).await;
    let (stolen, own) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    // With a factor, so that no later factor is the session's first.
    let (_, own, _) = house.add_app(&own).await;
    let stolen = countersign::domain::people::Person { factor: Some("totp".into()), ..stolen.person };
    let asked = house.accounts.ask_new_passkey(&stolen).await.unwrap();
    house.accounts.end_other_sessions(&own.person).await.unwrap();
    let (_, answer) = Authenticator::make("https://releases.example.org", &asked.options);
    let origin = origin("192.0.2.1");
    let new = NewPasskey { ceremony: asked.ceremony, answer, name: "Thief's".into(), origin };
    let refused = house.accounts.add_passkey(&stolen, new).await;
    assert!(matches!(refused, Err(FactorError::SignedOut)), "{refused:?}");

    let boss = house.sign_in_as_admin("boss@example.org").await;
    let by = By::admin(&boss.person).unwrap();
    house.accounts.sign_out(&boss.person).await.unwrap();
    let refused = house.accounts.disable(&by, anna).await;
    assert!(matches!(refused, Err(AdminError::NotAllowed)), "{refused:?}");
    assert_eq!(house.records_of("account.disabled").await.len(), 0);
}

#[tokio::test]
async fn roles_are_read_afresh_and_their_loss_works_at_once() {
    // S-27
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver, Role::Auditor]).await;
    let session = house.sign_in(ANNA).await;
    assert!(house.who(&session).await.unwrap().roles.approver);
    let auditor = [Role::Auditor].into_iter().collect();
    assert!(house.accounts.change_roles(&By::Operator, id, auditor).await.unwrap());
    assert!(house.who(&session).await.is_none(), "the session began with more than its person has now");
    let again = house.sign_in(ANNA).await;
    assert!(!again.person.roles.approver && again.person.roles.auditor);
}

#[tokio::test]
async fn sessions_whose_time_is_over_leave_with_a_record() {
    // S-16
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    for _ in 0..25 {
        house.sign_in(ANNA).await;
    }
    house.pass(SignedDuration::from_mins(31));
    let living = house.sign_in(ANNA).await;
    let mut steps = Vec::new();
    while steps.last() != Some(&0) {
        steps.push(house.accounts.end_sessions_over().await.unwrap());
    }
    assert_eq!(steps, [20, 5, 0]);
    let ended = house.records_of("session.ended").await;
    assert_eq!(ended.len(), 25);
    assert!(ended.iter().all(|record| record.actor == "system" && record.payload["why"] == json!("its time was over")));
    assert!(house.who(&living).await.is_some());
}
