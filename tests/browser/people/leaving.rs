//! Somebody is disabled while their pages are open (S-27): two replicas on one database, their desk at one and their phone
//! at the other, and an admin who takes their account away in a browser of their own.

use std::time::Duration;

use countersign::accounts::By;
use countersign::accounts::tokens::NewToken;
use countersign::domain::people::Role;
use countersign::domain::tokens::Scope;
use countersign::web::duties::Duties;
use countersign::web::streams::OVER_WITHIN;
use jiff::Timestamp;
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use super::{Window, deliver};
use crate::chrome::{DESKTOP, PHONE};
use crate::harness::{Portal, Replica, email};
use crate::support::mail_server::MailServer;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Window<'_> {
    /// With which status the page came that is shown.
    async fn status(&self) -> i64 {
        let ask = "return performance.getEntriesByType('navigation')[0].responseStatus";
        self.chrome.driver.execute(ask, vec![]).await.unwrap().json().as_i64().unwrap()
    }

    /// As an admin: finds somebody among the accounts, and opens theirs.
    async fn find_account(&self, name: &str) {
        self.go("/admin/accounts", "An account is disabled or deleted, never removed").await;
        self.chrome.fill("Name or e-mail", &email(name)).await;
        self.chrome.click("button", "Search").await;
        self.read("1 account match").await;
        self.chrome.click("link", name).await;
        self.read("Disabling signs them out everywhere at once").await;
    }

    async fn disable(&self, name: &str) {
        self.find_account(name).await;
        self.chrome.click("button", "Disable").await;
        self.read("The account is disabled, and its person is signed out everywhere").await;
    }

    /// An approval that waits, with something written into it.
    async fn begin_to_decide(&self, path: &str) {
        self.go(path, "Your decision").await;
        self.chrome.fill("Summary", "I am still thinking").await;
    }
}

/// Ana has asked for a new password before; Zoe was invited. Both links are in the mail.
async fn mailed_links(ana: &Window<'_>, adam: &Window<'_>, mail: &MailServer) -> [String; 2] {
    ana.go("/forgot", "Forgotten password").await;
    ana.chrome.fill("Email", &email("ana")).await;
    ana.chrome.click("button", "Send a link").await;
    ana.read("a mail with a link is on its way").await;
    adam.go("/admin/accounts/invite", "Invite somebody").await;
    adam.chrome.fill("Email", &email("zoe")).await;
    adam.chrome.fill("Name", "zoe").await;
    adam.chrome.click("button", "Invite").await;
    adam.read("A mail with the link is on its way to").await;
    deliver(ana.portal).await;
    [mail.link_for(&email("ana"), "/reset/").await, mail.link_for(&email("zoe"), "/invite/").await]
}

/// What the API answers a program of somebody's.
async fn asked_by_a_program(replica: &Replica, token: &str) -> u16 {
    let address = format!("http://{}/api/v1/me", replica.running.address);
    reqwest::Client::new().get(address).bearer_auth(token).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_disabled_is_out_with_the_next_click_at_every_replica_and_mailed_links_and_tokens_are_dead() {
    let mail = MailServer::start();
    let portal = Portal::start_with(&mail.config()).await;
    let (a, b) = (portal.replica_under_its_own_address().await, portal.replica_under_its_own_address().await);
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    let adam = Window::open_at(&portal, &b, DESKTOP).await;
    adam.sign_in_as_admin("adam").await;
    let (desk, phone) = (Window::open_at(&portal, &a, DESKTOP).await, Window::open_at(&portal, &b, PHONE).await);
    let links = mailed_links(&desk, &adam, &mail).await;
    for (link, open) in links.iter().zip(["Choose a new password", "You are invited"]) {
        phone.go(link, open).await;
    }
    desk.sign_in("ana", "1 approval waits for a decision").await;
    desk.begin_to_decide(&path).await;
    phone.sign_in("ana", "1 approval waits for a decision").await;

    let whose = portal.state.accounts.find_by_email(&email("ana")).await.unwrap().unwrap();
    let new = NewToken { label: "Nightly".into(), scope: Scope::Read, serves: "30d".parse().unwrap() };
    let made = portal.state.accounts.create_token(&By::Operator, whose, new).await.unwrap();
    let token = made.secret.expose_secret();
    for replica in [&a, &b] {
        assert_eq!(asked_by_a_program(replica, token).await, 200);
    }

    adam.disable("ana").await;
    adam.disable("zoe").await;

    for replica in [&a, &b] {
        assert_eq!(asked_by_a_program(replica, token).await, 401, "programs of theirs are out too");
    }

    desk.chrome.click("button", "Approve").await;
    desk.read("You are not signed in, or your session has ended, so this time nothing was sent").await;
    assert_eq!(desk.status().await, 401);
    phone.chrome.click("link", "History").await;
    phone.read("Sign in").await;
    assert_eq!(phone.chrome.path().await, "/sign-in");
    for window in [&desk, &phone] {
        window.sign_in("ana", "Email or password is wrong").await;
        for link in &links {
            window.go(link, "This link does not work, or does so no longer").await;
        }
    }
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0, "nothing reached AWS");
    let disabled = portal.records_of("account.disabled").await;
    let told: Vec<_> = disabled.iter().map(|it| (&it.payload["email"], &it.payload["by"]["email"])).collect();
    let by = &email("adam").into();
    assert_eq!(told, [(&email("ana").into(), by), (&email("zoe").into(), by)]);
    for window in [adam, desk, phone] {
        window.chrome.quit().await;
    }
    portal.finish().await;
}

/// Waits for what a replica finds out by itself.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let asking = async {
        while !is_so() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

/// A replica with everything that a serving process does by itself.
async fn serving(portal: &Portal) -> (Replica, Duties) {
    let replica = portal.replica_under_its_own_address().await;
    let watcher = portal.replica_under_its_own_address().await.watcher;
    let duties = Duties::start(&replica.state, watcher);
    (replica, duties)
}

/// When the one who is disabled was, as the record says.
async fn disabled_at(portal: &Portal) -> Timestamp {
    let mut conn = portal.database.connect_superuser().await;
    let micros = "select (extract(epoch from at) * 1000000)::bigint from audit.record where kind = 'account.disabled'";
    Timestamp::from_microsecond(sqlx::query_scalar(micros).fetch_one(&mut conn).await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_open_pages_of_who_is_disabled_hear_no_more_and_say_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let portal = Portal::start_today(listener, "").await;
    portal.create_account("ana", &[Role::Approver]).await;
    portal.waiting("shop").await;
    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    let ((a, a_duties), (b, b_duties)) = (serving(&portal).await, serving(&portal).await);
    let (desk, phone) = (Window::open_at(&portal, &a, DESKTOP).await, Window::open_at(&portal, &b, PHONE).await);
    let adam = Window::open(&portal, DESKTOP).await;
    adam.sign_in_as_admin("adam").await;
    desk.sign_in("ana", "1 approval waits for a decision").await;
    desk.begin_to_decide(&path).await;
    phone.sign_in("ana", "1 approval waits for a decision").await;
    adam.find_account("ana").await;
    until("each of Ana's pages listens", || a.state.streams.count() == 1 && b.state.streams.count() == 1).await;

    let (_, ended) = tokio::join!(adam.chrome.click("button", "Disable"), async {
        until("nobody listens any more", || a.state.streams.count() + b.state.streams.count() == 0).await;
        portal.clock.now()
    });
    let took = ended.duration_since(disabled_at(&portal).await).unsigned_abs();
    println!("The streams ended {took:?} after the record says that Ana is out.");
    // Two browsers and a portal share this machine with other stories; a stream that nobody ends lasts as long as its page.
    assert!(took <= OVER_WITHIN * 4, "Ana's pages listened for {took:?}");

    desk.read("You are no longer signed in. What you wrote is still here").await;
    assert_eq!(desk.typed("Summary").await, "I am still thinking");
    phone.read("Forgot your password?").await;
    assert_eq!(phone.chrome.path().await, "/sign-in", "by itself");
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0, "nothing reached AWS");
    for window in [adam, desk, phone] {
        window.chrome.quit().await;
    }
    a_duties.stop().await;
    b_duties.stop().await;
    portal.finish().await;
}
