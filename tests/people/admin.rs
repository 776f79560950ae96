//! Accounts made, changed and taken away.

use countersign::accounts::By;
use countersign::accounts::admin::{AdminError, NewAccount};
use countersign::accounts::change::Particulars;
use countersign::accounts::invitations::{Acceptance, Means, NewPerson};
use countersign::domain::people::{Role, Roles};
use jiff::SignedDuration;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::Executor as _;

use crate::house::{ANNA, House, PASSWORD, fresh_address, origin};

#[tokio::test]
async fn a_disabled_person_is_out_with_the_next_request_everywhere() {
    // S-27
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let admin = house.account("boss@example.org", &[Role::Admin]).await;
    let boss = house.sign_in_as_admin("boss@example.org").await;
    let (phone, desk) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    let by = By::admin(&boss.person).unwrap();
    assert!(house.accounts.disable(&by, id).await.unwrap());
    assert!(house.who(&phone).await.is_none());
    assert!(crate::house::who(&house.replica(), &desk).await.is_none());
    assert!(house.try_in(ANNA, PASSWORD).await.is_err());
    let disabled = &house.records_of("account.disabled").await[0];
    assert_eq!(disabled.actor, format!("account:{admin}"));
    assert_eq!(disabled.payload["person"], json!(id));
    assert_eq!(disabled.payload["sessions_ended"], json!(2));
    assert_eq!(disabled.payload["by"]["email"], json!("boss@example.org"));
    assert!(!house.accounts.disable(&by, id).await.unwrap(), "twice is once");
    assert!(house.accounts.enable(&by, id).await.unwrap());
    house.sign_in(ANNA).await;
    assert!(house.who(&phone).await.is_none(), "old sessions stay ended");
    house.verify().await;
}

#[tokio::test]
async fn only_an_admin_acts_on_others_and_only_while_being_one() {
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver, Role::Auditor]).await;
    let boss = house.account("boss@example.org", &[Role::Admin]).await;
    house.account("second@example.org", &[Role::Admin]).await;
    let approver = house.sign_in(ANNA).await;
    assert!(By::admin(&approver.person).is_none());
    let session = house.sign_in_as_admin("boss@example.org").await;
    let by = By::admin(&session.person).unwrap();
    house.accounts.change_roles(&By::Operator, boss, Roles::default()).await.unwrap();
    let refused = house.accounts.disable(&by, id).await;
    assert!(matches!(refused, Err(AdminError::NotAllowed)), "{refused:?}");
    let new = NewAccount { email: "x@example.org".into(), name: "X".into(), roles: Roles::default(), password: None };
    assert!(matches!(house.accounts.create(&by, new).await, Err(AdminError::NotAllowed)));
    assert!(house.who(&approver).await.is_some());
}

#[tokio::test]
async fn the_last_admin_can_neither_be_disabled_nor_demoted() {
    let house = House::new().await;
    let anna = house.account(ANNA, &[Role::Admin]).await;
    let bert = house.account("bert@example.org", &[Role::Admin]).await;
    house.accounts.disable(&By::Operator, bert).await.unwrap();
    assert!(matches!(house.accounts.disable(&By::Operator, anna).await, Err(AdminError::LastAdmin)));
    let approver = [Role::Approver].into_iter().collect();
    assert!(matches!(house.accounts.change_roles(&By::Operator, anna, approver).await, Err(AdminError::LastAdmin)));
    let more = [Role::Approver, Role::Admin].into_iter().collect();
    assert!(house.accounts.change_roles(&By::Operator, anna, more).await.unwrap());
    let changed = &house.records_of("account.changed").await[0];
    assert_eq!(
        (&changed.payload["roles_before"], &changed.payload["roles"]),
        (&json!(["admin"]), &json!(["approver", "admin"]))
    );
}

#[tokio::test]
async fn an_admin_who_was_invited_and_has_not_come_is_no_admin_to_rely_on() {
    // S-35
    let house = House::new().await;
    let anna = house.account(ANNA, &[Role::Admin]).await;
    let eve =
        NewPerson { email: "eve@example.org".into(), name: "Eve".into(), roles: [Role::Admin].into_iter().collect() };
    let invited = house.accounts.invite(&By::Operator, eve).await.unwrap();
    let last = |refused| matches!(refused, Err(AdminError::LastAdmin));
    assert!(last(house.accounts.disable(&By::Operator, anna).await));
    assert!(last(house.accounts.delete(&By::Operator, anna).await));
    let approver: Roles = [Role::Approver].into_iter().collect();
    assert!(last(house.accounts.change_roles(&By::Operator, anna, approver).await));
    let shown =
        Particulars { email: ANNA.into(), name: "Person anna".into(), roles: [Role::Admin].into_iter().collect() };
    let wanted = Particulars { roles: approver, ..shown.clone() };
    let refused = house.accounts.change(&By::Operator, anna, &shown, &wanted).await;
    assert!(matches!(refused, Err(AdminError::LastAdmin)), "{refused:?}");
    assert!(house.accounts.disable(&By::Operator, invited.account).await.unwrap(), "who has not come may go");
    assert!(house.accounts.enable(&By::Operator, invited.account).await.unwrap());

    let acceptance = Acceptance {
        code: crate::house::code_of(
            house.accounts.invite_again(&By::Operator, invited.account).await.unwrap().link.expose_secret(),
        ),
        name: "Eve".into(),
        means: Means::Password(PASSWORD.into()),
        origin: origin(&fresh_address()),
        replaces: None,
    };
    house.accounts.accept_invitation(acceptance).await.unwrap();
    assert!(house.accounts.disable(&By::Operator, anna).await.unwrap(), "Eve can administer now");
}

#[tokio::test]
async fn two_admins_who_disable_each_other_leave_one() {
    for _ in 0..3 {
        let house = House::new().await;
        let anna = house.account(ANNA, &[Role::Admin]).await;
        let bert = house.account("bert@example.org", &[Role::Admin]).await;
        let (one, two) = (house.sign_in_as_admin(ANNA).await, house.sign_in_as_admin("bert@example.org").await);
        let (by_anna, by_bert) = (By::admin(&one.person).unwrap(), By::admin(&two.person).unwrap());
        let replica = house.replica();
        let (first, second) = tokio::join!(house.accounts.disable(&by_anna, bert), replica.disable(&by_bert, anna));
        // Whoever came second was disabled meanwhile, and is heard no more.
        assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
        assert!(matches!(first.and(second), Err(AdminError::NotAllowed)));
        let left = house.accounts.list().await.unwrap().into_iter().filter(|account| account.disabled_at.is_none());
        assert_eq!(left.count(), 1);
    }
}

#[tokio::test]
async fn one_email_has_one_account_however_it_is_typed() {
    let house = House::new().await;
    house.account(ANNA, &[Role::Approver]).await;
    let new = |email: &str| NewAccount {
        email: email.into(),
        name: "Other Anna".into(),
        roles: Roles::default(),
        password: Some(PASSWORD.into()),
    };
    for email in ["ANNA@example.org", " anna@EXAMPLE.org", "ａnna@example.org"] {
        let refused = house.accounts.create(&By::Operator, new(email)).await;
        assert!(matches!(refused, Err(AdminError::EmailTaken)), "{email}: {refused:?}");
    }
    let refused = house.accounts.create(&By::Operator, new("nonsense")).await.unwrap_err();
    assert_eq!(refused.to_string(), "This is no e-mail address. It looks like name@example.org.");
    assert_eq!(house.records_of("account.created").await.len(), 1);
}

#[tokio::test]
async fn of_two_who_take_an_email_at_once_the_second_is_told_that_it_is_taken() {
    let house = House::new().await;
    let anna = house.account(ANNA, &[Role::Approver]).await;
    let mut other = house.test.connect_superuser().await;
    let taken = "begin; insert into portal.account (id, email, email_key, name, roles, created_at)
        values (gen_random_uuid(), 'new@example.org', 'new@example.org', 'New', '{}', now())";
    other.execute(taken).await.unwrap();
    let shown =
        Particulars { email: ANNA.into(), name: "Person anna".into(), roles: [Role::Approver].into_iter().collect() };
    let wanted = Particulars { email: "new@example.org".into(), ..shown.clone() };
    let commits = async {
        let mut conn = house.test.connect_superuser().await;
        let waits = "select exists (select from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock')";
        while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut conn).await.unwrap() {
            tokio::task::yield_now().await;
        }
        other.execute("commit").await.unwrap();
    };
    let (refused, ()) = tokio::join!(house.accounts.change(&By::Operator, anna, &shown, &wanted), commits);
    assert!(matches!(refused, Err(AdminError::EmailTaken)), "{refused:?}");
    assert_eq!(house.accounts.find_by_email(ANNA).await.unwrap(), Some(anna));
}

#[tokio::test]
async fn a_made_up_password_opens_nothing_but_the_way_to_a_new_one() {
    // S-06, S-02
    let house = House::new().await;
    let new =
        NewAccount { email: ANNA.into(), name: "Anna".into(), roles: Role::ALL.into_iter().collect(), password: None };
    let (_, made_up) = house.accounts.create(&By::Operator, new).await.unwrap();
    let made_up = made_up.unwrap();
    assert_eq!(made_up.expose_secret().len(), 43, "256 bits");
    let first = house.try_in(ANNA, made_up.expose_secret()).await.unwrap();
    for person in [&first.person, &house.who(&first).await.unwrap()] {
        assert!(person.must_change_password);
        assert_eq!(person.roles, Roles::default(), "no right until it is changed");
    }
    let own = SecretString::from("a password of my very own");
    let changed = house.accounts.change_password(&first.person, made_up.clone(), own, origin(&fresh_address()));
    let second = changed.await.unwrap();
    let person = house.who(&second).await.unwrap();
    assert!(!person.must_change_password && person.roles.approver && person.lacks_factor);
    assert!(house.try_in(ANNA, made_up.expose_secret()).await.is_err());
    assert!(!house.dump().await.contains(made_up.expose_secret()));
}

#[tokio::test]
async fn a_made_up_password_serves_for_an_hour_after_a_reset_and_a_day_for_a_new_account() {
    // S-06
    let house = House::new().await;
    let new = NewAccount { email: ANNA.into(), name: "Anna".into(), roles: Roles::default(), password: None };
    let (id, first) = house.accounts.create(&By::Operator, new).await.unwrap();
    let first = first.unwrap();
    house.pass(SignedDuration::from_hours(24));
    assert!(house.try_in(ANNA, first.expose_secret()).await.is_ok());
    house.pass(SignedDuration::from_secs(1));
    assert!(house.try_in(ANNA, first.expose_secret()).await.is_err());
    let second = house.accounts.reset_password(&By::Operator, id, None).await.unwrap().unwrap();
    house.pass(SignedDuration::from_hours(1));
    assert!(house.try_in(ANNA, second.expose_secret()).await.is_ok());
    house.pass(SignedDuration::from_secs(1));
    assert!(house.try_in(ANNA, second.expose_secret()).await.is_err());
}

#[tokio::test]
async fn a_reset_ends_every_session_and_the_old_password() {
    // S-06
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let new = "one two buckle my shoe";
    assert!(house.accounts.reset_password(&By::Operator, id, Some(new.into())).await.unwrap().is_none());
    assert!(house.who(&session).await.is_none());
    assert!(house.try_in(ANNA, PASSWORD).await.is_err());
    assert!(house.try_in(ANNA, new).await.is_ok());
    let reset = &house.records_of("account.password_reset").await[0];
    assert_eq!((reset.actor.as_str(), &reset.payload["by"]), ("operator", &json!("operator")));
    assert_eq!(reset.payload["sessions"], json!([session.person.session_mark]));
    let bad = house.accounts.reset_password(&By::Operator, id, Some("short".into())).await.unwrap_err();
    assert!(bad.to_string().contains("at least 15 characters"), "{bad}");
    let nobody = countersign::domain::ids::AccountId(uuid::Uuid::nil());
    assert!(matches!(house.accounts.reset_password(&By::Operator, nobody, None).await, Err(AdminError::NoSuchAccount)));
}

#[tokio::test]
async fn an_admin_ends_anyones_sessions() {
    // S-28
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let (one, two) = (house.sign_in(ANNA).await, house.sign_in(ANNA).await);
    assert_eq!(house.accounts.end_sessions_of(&By::Operator, id).await.unwrap(), 2);
    assert!(house.who(&one).await.is_none() && house.who(&two).await.is_none());
    assert_eq!(house.records_of("session.ended").await[0].payload["why"], json!("ended by an admin"));
    assert_eq!(house.accounts.end_sessions_of(&By::Operator, id).await.unwrap(), 0);
}
