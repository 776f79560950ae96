//! Mail: written into an outbox with what it tells of, delivered afterwards, whatever the mail server does.

use countersign::accounts::By;
use countersign::accounts::invitations::{Invited, NewPerson};
use countersign::domain::people::Role;
use countersign::store;
use jiff::SignedDuration;
use secrecy::ExposeSecret as _;

use crate::house::{ANNA, House, InOutbox, code_of, mailer};
use crate::support::smtp::{Mood, Sink, Stage};

async fn invite(house: &House, email: &str, name: &str) -> Invited {
    let roles = [Role::Approver].into_iter().collect();
    let new = NewPerson { email: email.to_owned(), name: name.to_owned(), roles };
    house.accounts.invite(&By::Operator, new).await.unwrap()
}

async fn only(house: &House) -> InOutbox {
    let mut all = house.outbox().await;
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

#[tokio::test]
async fn a_mail_says_who_wrote_it_and_leaves_nothing_of_itself_behind() {
    // L-10, S-44, S-48
    let (house, sink) = (House::new().await, Sink::start().await);
    let mailer = house.mailer(sink.address);
    let invited = invite(&house, ANNA, "Anna").await;
    let code = code_of(invited.link.expose_secret());
    let whole = only(&house).await;
    assert!(invited.mailed && whole.is_whole && !whole.is_sent);
    assert!(!house.dump().await.contains(code.expose_secret()), "what waits is sealed");
    house.deliver(&mailer).await;
    let mail = sink.newest_for(ANNA);
    assert_eq!(mail.from, "approvals@example.com");
    assert_eq!(mail.header("From").unwrap(), "Countersign <approvals@example.com>");
    assert_eq!(mail.header("Auto-Submitted").unwrap(), "auto-generated");
    assert!(mail.header("Message-ID").unwrap().ends_with("@example.com>"));
    assert_eq!(mail.header("Date").unwrap(), "Sat, 21 Nov 2026 10:00:00 +0000");
    assert_eq!(mail.link("https://releases.example.org/invite/"), *invited.link.expose_secret());
    let done = only(&house).await;
    assert_eq!(
        done,
        InOutbox {
            is_whole: false,
            is_sent: true,
            attempts: 1,
            kind: "invitation".into(),
            is_given_up: false,
            error: String::new()
        }
    );
    let dump = house.dump().await;
    assert!(!dump.contains(code.expose_secret()) && !dump.contains("invites you"), "it is erased");
    house.pass(SignedDuration::from_hours(24 * 31));
    mailer.sweep().await.unwrap();
    assert!(house.outbox().await.is_empty(), "and forgotten after a while");
    house.verify().await;
}

#[tokio::test]
async fn a_name_makes_no_header_no_markup_and_no_second_subject() {
    // L-10
    let (house, sink) = (House::new().await, Sink::start().await);
    house.account("eve@example.org", &[Role::Admin]).await;
    let name = "Eve <img src=x> & =?utf-8?q?Bcc?= é";
    let mut conn = house.test.connect_superuser().await;
    // Whatever is in the database: also what no form would take.
    let hostile = format!("{name}\r\nBcc: evil@example.com\r\n\r\nbody");
    sqlx::query("update portal.account set name = $1").bind(hostile).execute(&mut conn).await.unwrap();
    let by = By::admin(&house.sign_in_as_admin("eve@example.org").await.person).unwrap();
    let new = NewPerson { email: ANNA.into(), name: "Anna".into(), roles: Default::default() };
    house.accounts.invite(&by, new).await.unwrap();
    house.deliver(&house.mailer(sink.address)).await;
    let mail = sink.newest_for(ANNA);
    assert!(mail.header("Bcc").is_none());
    assert!(mail.subject().starts_with(&name.replace("=?", "= ?")), "{}", mail.subject());
    assert!(!mail.html().contains("<img"), "{}", mail.html());
    assert!(mail.text().contains("Eve <img src=x> &"), "the text part is text");
}

#[tokio::test]
async fn a_mail_server_that_is_away_holds_nothing_up_and_nothing_is_lost() {
    // L-11
    let (house, sink) = (House::new().await, Sink::start().await);
    let away = house.mailer(Sink::nowhere().await);
    let invited = invite(&house, ANNA, "Anna").await;
    assert_eq!(away.step().await.unwrap(), 1);
    let waiting = only(&house).await;
    assert!(waiting.is_whole && !waiting.is_sent && waiting.error.contains("cannot be reached"), "{waiting:?}");
    assert_eq!(away.step().await.unwrap(), 0, "not before its time");
    house.pass(SignedDuration::from_secs(7));
    let mailer = house.mailer(sink.address);
    assert_eq!(mailer.step().await.unwrap(), 1);
    assert_eq!(mailer.step().await.unwrap(), 0);
    let got = sink.taken_for(ANNA);
    assert_eq!(
        (got.len(), got[0].link("https://releases.example.org/invite/").as_str()),
        (1, invited.link.expose_secret())
    );
    let done = only(&house).await;
    assert!(done.is_sent && done.attempts == 2 && done.error.is_empty(), "{done:?}");
}

#[tokio::test]
async fn what_a_server_does_not_take_now_it_is_asked_again_and_what_it_never_takes_is_given_up() {
    let again = [
        Mood::Says(Stage::Greeting, "421 4.3.2 closing"),
        Mood::Says(Stage::Greeting, "554 5.3.2 not today"),
        Mood::Says(Stage::Sender, "451 4.3.0 later"),
        Mood::Says(Stage::Recipient, "450 4.2.1 greylisted"),
        Mood::Says(Stage::Mail, "452 4.3.1 full"),
        Mood::Drops(Stage::Greeting),
        Mood::Drops(Stage::Sender),
        Mood::Hangs(Stage::Greeting),
        Mood::Hangs(Stage::Mail),
    ];
    let never = [
        Mood::Says(Stage::Sender, "550 5.7.1 not from you"),
        Mood::Says(Stage::Recipient, "550 5.1.1 nobody of that name"),
        Mood::Says(Stage::Mail, "554 5.7.1 spam"),
    ];
    let cases = again.map(|mood| (mood, false)).into_iter().chain(never.map(|mood| (mood, true)));
    for (mood, is_final) in cases {
        let (house, sink) = (House::new().await, Sink::start().await);
        let mailer = house.mailer(sink.address);
        invite(&house, ANNA, "Anna").await;
        sink.is(mood.clone());
        assert_eq!(mailer.step().await.unwrap(), 1);
        let left = only(&house).await;
        assert_eq!((left.is_given_up, left.is_whole, left.is_sent), (is_final, !is_final, false), "{mood:?}: {left:?}");
        assert!(!left.error.is_empty() && left.error.chars().count() <= 300, "{left:?}");
        sink.is(Mood::Kind);
        house.pass(SignedDuration::from_secs(10));
        house.deliver(&mailer).await;
        assert_eq!(sink.taken().len(), usize::from(!is_final), "{mood:?}");
    }
}

#[tokio::test]
async fn a_connection_cut_after_the_mail_may_bring_it_twice_as_one_and_the_same() {
    // L-11
    let (house, sink) = (House::new().await, Sink::start().await);
    let mailer = house.mailer(sink.address);
    invite(&house, ANNA, "Anna").await;
    sink.is(Mood::Drops(Stage::Mail));
    house.deliver(&mailer).await;
    sink.is(Mood::Kind);
    house.pass(SignedDuration::from_secs(10));
    house.deliver(&mailer).await;
    let got = sink.taken();
    assert_eq!(got.len(), 2);
    assert_eq!(got[0].header("Message-ID"), got[1].header("Message-ID"));
    assert_eq!((got[0].text(), got[0].subject()), (got[1].text(), got[1].subject()));
}

#[tokio::test]
async fn a_login_that_is_refused_is_the_operators_and_its_password_is_told_to_nobody() {
    // S-48
    let house = House::new().await;
    let sink = Sink::with_login("portal", "right and long").await;
    let at = |password: &str| format!("smtp://portal:{password}@{}", sink.address);
    invite(&house, ANNA, "Anna").await;
    let wrong = mailer(&house.accounts, &house.database, &at("hunter2%20hunter2"));
    assert_eq!(wrong.step().await.unwrap(), 1);
    let left = only(&house).await;
    assert!(left.is_whole && left.error.contains("does not take the login"), "{left:?}");
    assert!(!left.error.contains("hunter2"), "{left:?}");
    assert!(!house.dump().await.contains("hunter2"));
    house.pass(SignedDuration::from_secs(10));
    house.deliver(&mailer(&house.accounts, &house.database, &at("right%20and%20long"))).await;
    assert_eq!(sink.taken_for(ANNA).len(), 1);
}

#[tokio::test]
async fn what_a_server_quotes_of_a_mail_is_not_kept() {
    // S-48: spam filters quote the link they refuse.
    let (house, sink) = (House::new().await, Sink::start().await);
    let invited = invite(&house, ANNA, "Anna").await;
    let quoted = format!("554 5.7.1 {} is on a list", invited.link.expose_secret());
    sink.is(Mood::Says(Stage::Mail, quoted.leak()));
    house.deliver(&house.mailer(sink.address)).await;
    let left = only(&house).await;
    assert!(left.is_given_up && left.error.contains("is on a list"), "{left:?}");
    assert!(!house.dump().await.contains(code_of(invited.link.expose_secret()).expose_secret()));
}

#[tokio::test]
async fn a_mail_is_given_up_when_it_is_of_no_use_any_more_also_without_a_server() {
    let (house, sink) = (House::new().await, Sink::start().await);
    invite(&house, ANNA, "Anna").await;
    house.pass(SignedDuration::from_hours(24));
    let without = countersign::mail::Mailer::new(house.accounts.outbox(), house.database.clone(), None);
    assert_eq!(without.step().await.unwrap(), 0);
    let left = only(&house).await;
    assert!(left.is_given_up && !left.is_whole, "{left:?}");
    house.deliver(&house.mailer(sink.address)).await;
    assert!(sink.taken().is_empty(), "a dead link helps nobody");
}

#[tokio::test]
async fn two_replicas_deliver_each_mail_once() {
    // H-04
    let (house, sink) = (House::new().await, Sink::start().await);
    for n in 0..30 {
        invite(&house, &format!("person{n}@example.org"), "Somebody").await;
    }
    let (one, other) = (house.mailer(sink.address), house.mailer(sink.address));
    let work = async |mailer: &countersign::mail::Mailer| while mailer.step().await.unwrap() > 0 {};
    tokio::join!(work(&one), work(&other), work(&one), work(&other));
    let mut to: Vec<String> = sink.taken().into_iter().flat_map(|mail| mail.to).collect();
    assert_eq!(to.len(), 30);
    to.sort();
    to.dedup();
    assert_eq!(to.len(), 30);
    assert!(house.outbox().await.iter().all(|mail| mail.is_sent && mail.attempts == 1));
}

#[tokio::test]
async fn a_mail_held_by_a_process_that_died_is_delivered_by_another_and_the_late_word_changes_nothing() {
    // H-02, H-04
    let (house, sink) = (House::new().await, Sink::start().await);
    invite(&house, ANNA, "Anna").await;
    let (now, dead) = (house.clock.now(), uuid::Uuid::from_u128(7));
    let mut conn = house.database.pages.acquire().await.unwrap();
    let until = now + SignedDuration::from_secs(120);
    let taken = store::mail::take_due(&mut conn, dead, (now, until), 10).await.unwrap();
    assert_eq!(taken.len(), 1);
    let mailer = house.mailer(sink.address);
    assert_eq!(mailer.step().await.unwrap(), 0, "somebody holds it");
    house.pass(SignedDuration::from_secs(120));
    assert_eq!(mailer.step().await.unwrap(), 1);
    assert_eq!(sink.taken().len(), 1);
    let late = store::mail::Held { id: taken[0].id, holder: dead, attempt: taken[0].attempt };
    assert!(!store::mail::mark_waiting(&mut conn, late, now, "too late").await.unwrap());
    assert!(!store::mail::give_up(&mut conn, late, now, "too late").await.unwrap());
    assert!(only(&house).await.is_sent);
}

#[tokio::test]
async fn without_what_it_tells_of_there_is_no_mail() {
    // one transaction.
    let house = House::new().await;
    let mut conn = house.test.connect_superuser().await;
    sqlx::query("revoke execute on function audit.append from countersign_app").execute(&mut conn).await.unwrap();
    let new = NewPerson { email: ANNA.into(), name: "Anna".into(), roles: Default::default() };
    assert!(house.accounts.invite(&By::Operator, new).await.is_err());
    assert!(house.outbox().await.is_empty());
}
