//! Who gets in, and what stops who tries.

use std::time::Duration;

use countersign::accounts::hasher::Room;
use countersign::accounts::sign_in::SignInError;
use countersign::domain::people::Role;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, WRONG, ask, who, whole};

#[tokio::test]
async fn a_person_signs_in_and_the_record_says_who_from_where_and_how() {
    // S-16, A-12, S-48
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let new = house.try_from("203.0.113.9", " Anna@Example.ORG ", PASSWORD).await.unwrap();
    assert_eq!((new.person.email.as_str(), new.person.method.as_str()), (ANNA, "password"));
    assert!(new.person.roles.approver && !new.person.roles.admin);
    let started = &house.records_of("session.started").await[0];
    assert_eq!(started.actor, format!("account:{id}"));
    assert_eq!(started.payload["person"], json!(id));
    assert_eq!(started.payload["roles"], json!(["approver"]));
    assert_eq!(started.payload["address"], json!("203.0.113.9"));
    assert_eq!(started.payload["method"], json!("password"));
    assert_eq!(started.payload["session"], json!(new.person.session_mark));
    assert_eq!(started.payload["user_agent"], json!("Firefox on a⟨U+202E⟩ phone␍"));
    house.verify().await;
}

#[tokio::test]
async fn a_dump_of_the_database_signs_nobody_in() {
    // S-23, S-48: neither the cookie's secret nor the password is in any table or record.
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let new = house.sign_in(ANNA).await;
    let secret = new.cookie_secret.expose_secret();
    let dump = house.dump().await;
    use base64::Engine as _;
    let raw = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(secret).unwrap();
    assert_eq!(raw.len(), 32, "256 bits");
    for hidden in [secret.to_owned(), hex::encode(&raw), PASSWORD.to_owned()] {
        assert!(!dump.contains(&hidden), "{hidden} is in the database");
    }
    assert!(dump.contains("$argon2id$v=19$"), "the dump shows what is stored");
    assert!(!format!("{new:?}").contains(secret), "a secret prints itself");
}

#[tokio::test]
async fn unknown_disabled_and_wrong_look_alike_and_cost_the_same() {
    // S-10: one hash each, the same answer, the same writes to the waiting table.
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let bert = house.account("bert@example.org", &[Role::Approver]).await;
    house.accounts.disable(&countersign::accounts::By::Operator, bert).await.unwrap();
    let long = "x".repeat(5000);
    for (email, password) in [
        (ANNA, WRONG),
        ("bert@example.org", PASSWORD),
        ("nobody@example.org", PASSWORD),
        ("not an address", WRONG),
        (ANNA, &long),
    ] {
        let before = house.hasher.computed();
        let refused = house.try_in(email, password).await.unwrap_err();
        assert!(matches!(refused, SignInError::Wrong), "{email}: {refused:?}");
        assert_eq!(refused.to_string(), "E-mail or password is wrong.");
        assert_eq!(house.hasher.computed() - before, 1, "{email}");
    }
}

#[tokio::test]
async fn after_five_failures_each_try_waits_longer_even_with_the_right_password() {
    // S-11
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    for _ in 0..5 {
        assert!(matches!(house.try_in(ANNA, WRONG).await, Err(SignInError::Wrong)));
    }
    for seconds in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
        let before = house.hasher.computed();
        let waits = house.try_in(ANNA, PASSWORD).await.unwrap_err();
        let SignInError::TooMany { retry_after } = waits else { panic!("{waits:?}") };
        assert_eq!(retry_after, Duration::from_secs(seconds));
        assert_eq!(house.hasher.computed(), before, "nothing is hashed while it waits");
        house.pass(SignedDuration::from_secs(seconds as i64) - SignedDuration::from_millis(1));
        assert!(matches!(house.try_in(ANNA, PASSWORD).await, Err(SignInError::TooMany { .. })), "too early");
        house.pass(SignedDuration::from_millis(1));
        assert!(matches!(house.try_in(ANNA, WRONG).await, Err(SignInError::Wrong)));
    }
    house.pass(SignedDuration::from_secs(900));
    house.sign_in(ANNA).await;
    for _ in 0..5 {
        assert!(matches!(house.try_in(ANNA, WRONG).await, Err(SignInError::Wrong)), "success has cleared the count");
    }
}

#[tokio::test]
async fn an_unknown_email_waits_like_a_known_one() {
    // S-10 with S-11: else waiting would tell who has an account.
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let mut answers = Vec::new();
    for email in [ANNA, "nobody@example.org"] {
        let mut said = Vec::new();
        for _ in 0..7 {
            said.push(house.try_in(email, WRONG).await.unwrap_err().to_string());
        }
        answers.push(said);
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(answers[0][5], "Too many tries.");
    assert!(!house.dump().await.contains("nobody"), "a stranger's e-mail is kept as a hash only");
}

#[tokio::test]
async fn the_wait_holds_on_every_replica() {
    // H-07
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let other = house.replica();
    for n in 0..5 {
        let accounts = if n % 2 == 0 { &house.accounts } else { &other };
        let refused = accounts.sign_in(ask(&format!("198.51.100.{n}"), ANNA, WRONG)).await;
        assert!(matches!(refused, Err(SignInError::Wrong)));
    }
    let waits = other.sign_in(ask("198.51.100.9", ANNA, PASSWORD)).await;
    assert!(matches!(waits, Err(SignInError::TooMany { .. })), "{waits:?}");
    house.pass(SignedDuration::from_secs(1));
    let new = whole(other.sign_in(ask("198.51.100.9", ANNA, PASSWORD)).await.unwrap());
    assert_eq!(house.who(&new).await.unwrap().email, ANNA, "signed in there, known here");
}

#[tokio::test]
async fn tries_at_once_cannot_share_one_count() {
    // S-11: the count is taken before the password is looked at.
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let tries = (0..20).map(|_| house.try_in(ANNA, WRONG));
    let answers = futures::future::join_all(tries).await;
    let heard = answers.iter().filter(|answer| matches!(answer, Err(SignInError::Wrong))).count();
    assert_eq!(heard, 5, "{answers:?}");
    assert_eq!(house.hasher.computed(), 5 + 1, "five tries, and the hash when the account was made");
}

#[tokio::test]
async fn a_hundred_failures_switch_the_password_off_until_it_is_reset() {
    // S-11, NIST SP 800-63B-4 3.2.2
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    for _ in 0..100 {
        assert!(matches!(house.try_in(ANNA, WRONG).await, Err(SignInError::Wrong)));
        house.pass(SignedDuration::from_secs(900));
    }
    let refused = house.try_in(ANNA, PASSWORD).await.unwrap_err();
    assert!(matches!(refused, SignInError::Wrong), "the right password looks wrong: {refused:?}");
    assert!(house.accounts.list().await.unwrap()[0].password_off, "admins see it");
    let failed = house.records_of("sign_in.failed").await;
    assert_eq!(failed.last().unwrap().payload["why"], json!("password off after 100 failures"));
    house.pass(SignedDuration::from_hours(24 * 30));
    assert!(matches!(house.try_in(ANNA, PASSWORD).await, Err(SignInError::Wrong)), "time does not heal it");
    house.accounts.reset_password(&countersign::accounts::By::Operator, id, Some(PASSWORD.into())).await.unwrap();
    house.sign_in(ANNA).await;
}

#[tokio::test]
async fn one_address_has_ten_tries_and_then_ten_a_minute() {
    // S-13, before any hash
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let before = house.hasher.computed();
    for n in 0..10 {
        let refused = house.try_from("203.0.113.5", &format!("nobody{n}@example.org"), WRONG).await;
        assert!(matches!(refused, Err(SignInError::Wrong)));
    }
    let SignInError::TooMany { retry_after } = house.try_from("203.0.113.5", ANNA, PASSWORD).await.unwrap_err() else {
        panic!("the eleventh is let through")
    };
    assert_eq!(retry_after, Duration::from_secs(6));
    assert_eq!(house.hasher.computed() - before, 10);
    assert!(house.try_from("203.0.113.6", ANNA, PASSWORD).await.is_ok(), "the neighbour is not concerned");
    house.pass(SignedDuration::from_secs(6));
    assert!(house.try_from("203.0.113.5", ANNA, PASSWORD).await.is_ok(), "one more after six seconds");
    let again = house.replica().sign_in(ask("203.0.113.5", ANNA, PASSWORD)).await;
    assert!(matches!(again, Err(SignInError::TooMany { .. })), "on every replica: {again:?}");
}

#[tokio::test]
async fn a_version_6_neighbour_in_the_same_network_shares_the_bucket() {
    // S-13
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    for n in 0..10 {
        let refused = house.try_from(&format!("2001:db8:0:1::{n:x}"), &format!("n{n}@example.org"), WRONG).await;
        assert!(matches!(refused, Err(SignInError::Wrong)));
    }
    assert!(matches!(house.try_from("2001:db8:0:1:9::9", ANNA, PASSWORD).await, Err(SignInError::TooMany { .. })));
    assert!(house.try_from("2001:db8:0:2::1", ANNA, PASSWORD).await.is_ok());
}

#[tokio::test]
async fn when_too_many_sign_in_at_once_the_next_is_told_to_come_back_and_not_counted() {
    // S-09
    let house = House::with_room(Room { seats: 1, queue: 0, wait: Duration::from_secs(2) }).await;
    house.account(ANNA, &[Role::Approver]).await;
    let seat = house.hasher.seat().await.unwrap();
    for _ in 0..8 {
        let SignInError::Busy { retry_after } = house.try_in(ANNA, PASSWORD).await.unwrap_err() else { panic!() };
        assert_eq!(retry_after, Duration::from_secs(2));
    }
    drop(seat);
    house.sign_in(ANNA).await;
}

#[tokio::test]
async fn a_cheaper_hash_is_replaced_at_the_next_sign_in() {
    // S-08
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let mut conn = house.test.connect_superuser().await;
    let weak = weak_hash(PASSWORD);
    sqlx::query("update portal.account set password_phc = $1").bind(&weak).execute(&mut conn).await.unwrap();
    house.sign_in(ANNA).await;
    let stored: String =
        sqlx::query_scalar("select password_phc from portal.account").fetch_one(&mut conn).await.unwrap();
    assert!(stored.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{stored}");
    house.sign_in(ANNA).await;
    let kept: String =
        sqlx::query_scalar("select password_phc from portal.account").fetch_one(&mut conn).await.unwrap();
    assert_eq!(kept, stored, "once is enough");
}

fn weak_hash(password: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    let params = argon2::Params::new(16, 1, 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut output = [0; 32];
    argon2.hash_password_into(password.as_bytes(), &[9; 16], &mut output).unwrap();
    format!("$argon2id$v=19$m=16,t=1,p=1${}${}", STANDARD_NO_PAD.encode([9; 16]), STANDARD_NO_PAD.encode(output))
}

#[tokio::test]
async fn composed_and_decomposed_letters_sign_in_alike() {
    // S-05
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let composed = "sept caf\u{e9}s \u{e0} Br\u{fb}lon";
    house.accounts.reset_password(&countersign::accounts::By::Operator, id, Some(composed.into())).await.unwrap();
    assert!(house.try_in(ANNA, "sept cafe\u{301}s a\u{300} Bru\u{302}lon").await.is_ok());
    assert!(house.try_in(ANNA, composed).await.is_ok());
    assert!(matches!(house.try_in(ANNA, &composed.to_lowercase()).await, Err(SignInError::Wrong)));
    assert!(matches!(house.try_in(ANNA, &format!("{composed} ")).await, Err(SignInError::Wrong)));
}

#[tokio::test]
async fn signing_in_again_kills_the_cookie_that_came_along() {
    // S-25
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let first = house.sign_in(ANNA).await;
    let mut again = ask("203.0.113.9", ANNA, PASSWORD);
    again.replaces = Some(first.cookie_secret.clone());
    let second = whole(house.accounts.sign_in(again).await.unwrap());
    assert!(house.who(&first).await.is_none());
    assert_eq!(house.who(&second).await.unwrap().email, ANNA);
    assert_ne!(first.cookie_secret.expose_secret(), second.cookie_secret.expose_secret());
    let ended = house.records_of("session.ended").await;
    assert_eq!(ended[0].payload["sessions"], json!([first.person.session_mark]));
    // A cookie of somebody's own making is never adopted.
    let mut planted = ask("203.0.113.9", ANNA, PASSWORD);
    let made_up = "A".repeat(43);
    planted.replaces = Some(made_up.clone().into());
    let third = whole(house.accounts.sign_in(planted).await.unwrap());
    assert_ne!(third.cookie_secret.expose_secret(), made_up);
    assert!(who(&house.accounts, &third).await.is_some());
    assert!(house.accounts.person(&made_up, "192.0.2.1".parse().unwrap(), true).await.unwrap().is_none());
}

#[tokio::test]
async fn without_the_record_nobody_signs_in() {
    // the session and its record are one.
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let mut conn = house.test.connect_superuser().await;
    sqlx::query("revoke execute on function audit.append from countersign_app").execute(&mut conn).await.unwrap();
    let refused = house.try_in(ANNA, PASSWORD).await;
    assert!(matches!(refused, Err(SignInError::Unavailable(_))), "{refused:?}");
    let sessions: i64 = sqlx::query_scalar("select count(*) from portal.session").fetch_one(&mut conn).await.unwrap();
    assert_eq!(sessions, 0);
}
