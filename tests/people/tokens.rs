//! API tokens: made once, kept as a hash, dead when they must be.

use countersign::accounts::By;
use countersign::accounts::tokens::{MadeToken, NewToken, TokenError};
use countersign::domain::ids::AccountId;
use countersign::domain::people::{Person, Role};
use countersign::domain::tokens::{Scope, write};
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;
use serde_json::json;

use crate::house::{ANNA, House, PASSWORD, origin};
use crate::support::smtp::Sink;

fn new(label: &str, scope: Scope, serves: &str) -> NewToken {
    NewToken { label: label.to_owned(), scope, serves: serves.parse().unwrap() }
}

impl House {
    async fn token(&self, account: AccountId) -> MadeToken {
        self.accounts.create_token(&By::Operator, account, new("report", Scope::Read, "30d")).await.unwrap()
    }

    /// Who the portal takes the holder of this token for.
    async fn who_by(&self, token: &str) -> Option<Person> {
        let here = "192.0.2.77".parse().unwrap();
        self.accounts.person_of_token(token, here, Scope::Read).await.unwrap().map(|(person, _)| person)
    }

    async fn works(&self, made: &MadeToken) -> bool {
        self.who_by(made.secret.expose_secret()).await.is_some()
    }
}

#[tokio::test]
async fn a_token_is_shown_once_and_a_dump_of_the_database_signs_nobody_in() {
    // S-23, S-29, S-48
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let by = By::Person(Box::new(session.person.clone()));
    let made = house.accounts.create_token(&by, id, new(" Report ", Scope::Decide, "90d")).await.unwrap();
    let secret = made.secret.expose_secret();
    assert!(secret.starts_with("csn_") && secret.len() == 53, "its form is pinned elsewhere");
    assert!(!format!("{made:?}").contains(secret), "it does not print itself");
    let person = house.who_by(secret).await.unwrap();
    assert_eq!((person.account, person.roles.names(), person.method.as_str()), (id, vec!["approver".into()], "token"));

    let dump = house.dump().await;
    let hash = hex::encode(countersign::domain::ids::sha256(secret.as_bytes()));
    assert!(dump.contains(&hash), "the dump shows what is stored");
    assert!(!dump.contains(secret) && !dump.contains(&secret[4..47]));
    assert_eq!(house.who_by(&hash).await.map(|it| it.account), None);
    assert_eq!(house.who_by(&format!("csn_{hash}")).await.map(|it| it.account), None);

    let created = house.records_of("token.created").await.remove(0);
    assert_eq!(created.actor, format!("account:{id}"));
    assert_eq!(
        (&created.payload["person"], &created.payload["token"], &created.payload["label"], &created.payload["scope"]),
        (&json!(id), &json!(made.token.id), &json!("Report"), &json!("decide"))
    );
    assert_eq!(created.payload["expires_at"], json!("2027-02-19T10:00:00Z"));
    for record in house.records().await {
        assert!(!record.payload.to_string().contains(&hash[..16]), "{record:?}");
    }
    house.verify().await;
}

#[tokio::test]
async fn a_token_ends_at_its_second_and_when_it_is_revoked_on_every_replica() {
    // S-27, S-29
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let serves = |text| new("report", Scope::Read, text);
    let short = house.accounts.create_token(&By::Operator, id, serves("1h")).await.unwrap();
    house.pass(SignedDuration::from_secs(1));
    let long = house.accounts.create_token(&By::Operator, id, serves("365d")).await.unwrap();
    house.pass(SignedDuration::from_secs(3598));
    assert!(house.works(&short).await);
    house.pass(SignedDuration::from_secs(1));
    assert!(!house.works(&short).await && house.works(&long).await);
    let listed = house.accounts.list_tokens(Some(id)).await.unwrap();
    let over: Vec<_> = listed.iter().map(|token| (token.id, token.is_over)).collect();
    assert_eq!(over, [(long.token.id, false), (short.token.id, true)]);

    let session = house.sign_in(ANNA).await;
    assert!(house.replica().revoke_token(&session.person, long.token.id).await.unwrap());
    assert!(!house.works(&long).await);
    assert!(!house.accounts.revoke_token(&session.person, long.token.id).await.unwrap(), "once");
    let revoked = house.records_of("token.revoked").await;
    assert_eq!(revoked.len(), 1);
    assert_eq!(
        (&revoked[0].payload["token"], &revoked[0].payload["why"]),
        (&json!(long.token.id), &json!("revoked by its person"))
    );
    assert_eq!(house.accounts.list_tokens(Some(id)).await.unwrap().len(), 1, "what is revoked is not listed");
    house.verify().await;
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused_without_the_database() {
    // S-29
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let made = house.token(id).await;
    let secret = made.secret.expose_secret();
    house.database.close().await;
    let here = "192.0.2.77".parse().unwrap();
    let last = if secret.ends_with('0') { "1" } else { "0" };
    for bad in ["", "csn_", PASSWORD, &secret[..52], &format!("{}{last}", &secret[..52]), &format!("{secret}0")] {
        let answer = house.accounts.person_of_token(bad, here, Scope::Read).await;
        assert!(matches!(answer, Ok(None)), "{bad}: {answer:?}");
    }
    for asked in [secret, write(&[7; 32]).as_str()] {
        let answer = house.accounts.person_of_token(asked, here, Scope::Read).await;
        assert!(answer.is_err(), "a whole one has to be looked up: a database that is away is no refusal");
    }
}

#[tokio::test]
async fn a_token_is_dead_with_its_person_on_the_very_next_request() {
    // S-27, S-29
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let made = house.token(id).await;
    assert!(house.works(&made).await);
    house.replica().disable(&By::Operator, id).await.unwrap();
    assert!(!house.works(&made).await);
    let refused = house.accounts.create_token(&By::Operator, id, new("a", Scope::Read, "1d")).await.unwrap_err();
    assert!(matches!(refused, TokenError::Disabled), "{refused:?}");
    house.accounts.enable(&By::Operator, id).await.unwrap();
    assert!(house.works(&made).await, "disabling can be taken back");

    let roles = |roles: &[Role]| house.accounts.change_roles(&By::Operator, id, roles.iter().copied().collect());
    roles(&[]).await.unwrap();
    assert!(!house.works(&made).await, "without a role there is nothing it could do");
    roles(&[Role::Auditor]).await.unwrap();
    let person = house.who_by(made.secret.expose_secret()).await.unwrap();
    assert_eq!(person.roles.names(), ["auditor"], "what its person may do now, not when it was made");

    house.accounts.reset_password(&By::Operator, id, None).await.unwrap();
    assert!(!house.works(&made).await, "a password that somebody else made is changed first");
    let asleep = house.accounts.create_token(&By::Operator, id, new("b", Scope::Read, "1d")).await.unwrap();
    assert!(asleep.sleeps && !house.works(&asleep).await);
    house.accounts.reset_password(&By::Operator, id, Some(PASSWORD.into())).await.unwrap();
    assert!(house.works(&made).await && house.works(&asleep).await);
    house.verify().await;
}

#[tokio::test]
async fn deleting_a_person_revokes_their_tokens_and_forgets_what_they_called_them() {
    // S-27
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let new = NewToken { label: "Anna's laptop".to_owned(), scope: Scope::Read, serves: "1d".parse().unwrap() };
    let made = house.accounts.create_token(&By::Operator, id, new.clone()).await.unwrap();
    house.accounts.delete(&By::Operator, id).await.unwrap();
    assert!(!house.works(&made).await);
    assert_eq!(house.accounts.list_tokens(None).await.unwrap().len(), 0);
    let refused = house.accounts.create_token(&By::Operator, id, new).await.unwrap_err();
    assert!(matches!(refused, TokenError::NoSuchAccount), "{refused:?}");
    let mut conn = house.test.connect_superuser().await;
    let sql = "select label, revoked_at is not null from portal.api_token";
    let kept: Vec<(String, bool)> = sqlx::query_as(sql).fetch_all(&mut conn).await.unwrap();
    assert_eq!(kept, [("deleted".to_owned(), true)]);
    let deleted = &house.records_of("account.deleted").await[0].payload;
    assert_eq!(deleted["tokens_revoked"], json!([made.token.id]));
    house.verify().await;
}

#[tokio::test]
async fn no_token_has_admin_rights_or_proves_anything() {
    // S-15, S-29, S-35
    let house = House::new().await;
    let adam = house.account("adam@example.org", &[Role::Admin]).await;
    let both = house.account(ANNA, &[Role::Admin, Role::Approver]).await;
    let made = house.token(adam).await;
    let person = house.who_by(made.secret.expose_secret()).await.unwrap();
    assert!(person.roles.names().is_empty() && person.lacks_factor);
    assert!(By::admin(&person).is_none());
    let made = house.token(both).await;
    let person = house.who_by(made.secret.expose_secret()).await.unwrap();
    assert_eq!(person.roles.names(), ["approver"]);
    let by = By::Person(Box::new(person.clone()));
    let refused = house.accounts.create_token(&by, both, new("more", Scope::Decide, "365d")).await.unwrap_err();
    assert!(matches!(refused, TokenError::ProveFirst), "a token makes no tokens: {refused:?}");
    assert!(house.accounts.list_sessions(&person).await.unwrap().is_empty(), "it is no session");
}

#[tokio::test]
async fn its_last_use_is_written_once_a_minute() {
    // S-29
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let made = house.token(id).await;
    let used =
        || async { house.accounts.list_tokens(Some(id)).await.unwrap()[0].last_used_at.map(|at| at.to_string()) };
    assert_eq!(used().await, None);
    assert!(house.works(&made).await);
    assert_eq!(used().await.as_deref(), Some("2026-11-21T10:00:00Z"));
    house.pass(SignedDuration::from_secs(59));
    assert!(house.works(&made).await);
    assert_eq!(used().await.as_deref(), Some("2026-11-21T10:00:00Z"));
    house.pass(SignedDuration::from_secs(1));
    assert!(house.works(&made).await);
    assert_eq!(used().await.as_deref(), Some("2026-11-21T10:01:00Z"));
    assert_eq!(house.records().await.len(), 3, "the account, its grant and the token: use is not recorded");
}

#[tokio::test]
async fn a_token_is_made_and_revoked_for_oneself_alone() {
    // S-31, S-35
    let house = House::new().await;
    let anna = house.account(ANNA, &[Role::Approver]).await;
    let bert = house.account("bert@example.org", &[Role::Approver]).await;
    let session = house.sign_in("bert@example.org").await;
    let by = By::Person(Box::new(session.person.clone()));
    let made = house.token(anna).await;
    let refused = house.accounts.create_token(&by, anna, new("a", Scope::Read, "1d")).await.unwrap_err();
    assert!(matches!(refused, TokenError::NoSuchAccount), "{refused:?}");
    assert!(!house.accounts.revoke_token(&session.person, made.token.id).await.unwrap());
    assert!(house.accounts.revoke_token_of(&by, anna, made.token.id).await.is_err(), "he is no admin");
    assert!(!house.accounts.revoke_token_of(&By::Operator, bert, made.token.id).await.unwrap(), "it is not Bert's");
    assert!(house.works(&made).await);
    house.account("adam@example.org", &[Role::Admin]).await;
    let adam = By::Person(Box::new(house.sign_in_as_admin("adam@example.org").await.person));
    assert!(house.accounts.revoke_token_of(&adam, anna, made.token.id).await.unwrap());
    assert!(!house.works(&made).await);
    let revoked = &house.records_of("token.revoked").await[0].payload;
    assert_eq!((&revoked["person"], &revoked["by"]["email"]), (&json!(anna), &json!("adam@example.org")));
    house.pass(SignedDuration::from_mins(6));
    let late = house.accounts.create_token(&by, bert, new("a", Scope::Read, "1d")).await.unwrap_err();
    assert!(matches!(late, TokenError::ProveFirst), "{late:?}");
    house.verify().await;
}

#[tokio::test]
async fn a_label_can_be_read_and_tokens_are_few() {
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let make = |label: String| {
        house.accounts.create_token(&By::Operator, id, NewToken { label, ..new("", Scope::Read, "1h") })
    };
    let pasted = format!("my {}", *write(&[7; 32]));
    for label in ["", "  ", "a\nb", "a\u{202e}b", &"x".repeat(81), &pasted] {
        let refused = make(label.to_owned()).await.unwrap_err();
        assert!(matches!(refused, TokenError::BadLabel(_)), "{label:?}: {refused:?}");
    }
    for n in 0..50 {
        make(format!("script {n}")).await.unwrap();
    }
    assert!(matches!(make("one more".to_owned()).await, Err(TokenError::TooMany)));
    house.pass(SignedDuration::from_hours(1));
    make("one more".to_owned()).await.unwrap();
}

#[tokio::test]
async fn refused_tokens_are_counted_as_strangers_doings() {
    // A-11, S-16
    let house = House::new().await;
    for _ in 0..3 {
        assert_eq!(house.accounts.count_refused_token(origin("192.0.2.77").address), None);
    }
    house.accounts.flush_stranger_counts().await.unwrap();
    house.pass(SignedDuration::from_secs(90));
    house.accounts.flush_stranger_counts().await.unwrap();
    assert_eq!(house.records_of("strangers.counted").await[0].payload["counts"], json!({ "token.refused": 3 }));
}

#[tokio::test]
async fn a_session_is_no_token_and_a_token_no_session() {
    // S-29
    let house = House::new().await;
    let id = house.account(ANNA, &[Role::Approver]).await;
    let session = house.sign_in(ANNA).await;
    let made = house.token(id).await;
    assert!(house.who_by(session.cookie_secret.expose_secret()).await.is_none());
    let here = origin("192.0.2.77").address;
    assert!(house.accounts.person(made.secret.expose_secret(), here, true).await.unwrap().is_none());
}

#[tokio::test]
async fn a_person_is_told_by_mail_of_each_token_that_is_made_for_them() {
    // S-06, S-29
    let (house, sink) = (House::new().await, Sink::start().await);
    let mailer = house.mailer(sink.address);
    let id = house.account(ANNA, &[Role::Approver]).await;
    let by_her = By::Person(Box::new(house.sign_in(ANNA).await.person));
    house.deliver(&mailer).await;
    let before = sink.taken_for(ANNA).len();
    for (n, (by, who)) in [(by_her, "you"), (By::Operator, "the operator")].into_iter().enumerate() {
        let made = house.accounts.create_token(&by, id, new("Nightly report", Scope::Decide, "90d")).await.unwrap();
        house.deliver(&mailer).await;
        assert_eq!(sink.taken_for(ANNA).len(), before + n + 1);
        let mail = sink.newest_for(ANNA);
        assert_eq!(mail.subject(), "An API token was made for your Countersign account");
        let text = mail.text();
        for told in [
            "Token: Nightly report",
            "Scope: decide",
            "Until: 2027-02-19 10:00 UTC",
            &format!("Made by: {who}"),
            "When: 2026-11-21 10:00 UTC",
            "https://releases.example.org/me/tokens",
        ] {
            assert!(text.contains(told), "{told}: {text}");
        }
        let secret = made.secret.expose_secret();
        assert!(!text.contains(&secret[4..47]) && !mail.html().contains(&secret[4..47]), "S-48");
    }
    assert!(house.accounts.create_token(&By::Operator, id, new("", Scope::Read, "1d")).await.is_err());
    house.deliver(&mailer).await;
    assert_eq!(sink.taken_for(ANNA).len(), before + 2, "what was not made is not told");
    house.verify().await;
}
