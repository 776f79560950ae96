//! Proving who one is sticks to no replica either (H-07): each question is asked at one, and its answer taken by another.

use countersign::audit::proof;
use countersign::domain::people::Role;
use jiff::SignedDuration;

use crate::harness::{Browser, Page, Portal, Replica, email, password};
use crate::support::authenticator::Authenticator;

/// Ana's browser, behind something that sends every request to the next replica.
struct Turning<'a> {
    portal: &'a Portal,
    others: [Replica; 2],
    browser: Browser,
    turn: usize,
}

impl<'a> Turning<'a> {
    async fn begin(portal: &'a Portal) -> Self {
        let others = [portal.replica().await, portal.replica().await];
        Self { portal, others, browser: portal.anonymous(), turn: 0 }
    }

    /// The browser, at the next replica.
    fn next(&mut self) -> &Browser {
        self.turn = (self.turn + 1) % 3;
        let address = if self.turn == 0 { self.portal.address() } else { self.others[self.turn - 1].running.address };
        self.browser = self.browser.at(address);
        &self.browser
    }

    /// Has the key answer what the portal asks about these fields of the form, and sends the form of `page` with that.
    async fn prove(&mut self, page: &Page, key: &mut Authenticator, fields: &[(&str, &str)]) -> Page {
        let csrf = page.csrf();
        let place = page.path.split('?').next().unwrap();
        let asked: Vec<_> = fields.iter().copied().chain([("csrf", csrf.as_str())]).collect();
        let (ceremony, options) = self.next().ask(&format!("{place}/challenge"), &asked).await;
        let answer = key.prove(&options);
        let proven = [("ceremony", ceremony.as_str()), ("credential", answer.as_str())];
        let fields: Vec<_> = fields.iter().copied().chain(proven).collect();
        let action = if place.starts_with("/approvals/") { format!("{place}/decision") } else { place.to_owned() };
        self.next().submit(page, &action, &fields).await
    }

    async fn sign_in(&mut self) -> Page {
        let page = self.next().open("/sign-in").await;
        let fields = [("email", email("ana")), ("password", password("ana"))];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        self.next().submit(&page, "/sign-in", &fields).await
    }

    async fn add_passkey(&mut self) -> Authenticator {
        let page = self.next().open("/me/factors").await;
        let path = "/me/factors/passkeys";
        let (ceremony, options) = self.next().ask(&format!("{path}/challenge"), &[("csrf", &page.csrf())]).await;
        let (key, answer) = Authenticator::make(&self.browser.origin, &options);
        let fields = [("name", "Key"), ("ceremony", ceremony.as_str()), ("credential", answer.as_str())];
        self.next().submit(&page, path, &fields).await.says("They are shown only now");
        key
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_step_a_step_up_and_a_signed_decision_may_each_be_asked_here_and_answered_there() {
    // H-07, S-17, S-18
    let portal = Portal::start_with("public_url = \"http://localhost:{port}\"").await;
    portal.waiting("shop").await;
    portal.create_account("ana", &[Role::Approver]).await;
    let mut ana = Turning::begin(&portal).await;
    assert_eq!(ana.sign_in().await.location(), Some("/"));
    let mut key = ana.add_passkey().await;
    let me = ana.next().open("/me").await;
    assert_eq!(ana.next().submit(&me, "/sign-out", &[]).await.status, 303);

    assert_eq!(ana.sign_in().await.location(), Some("/sign-in/second"));
    let second = ana.next().open("/sign-in/second").await;
    let signed_in = ana.prove(&second, &mut key, &[]).await;
    assert_eq!((signed_in.status, signed_in.location()), (303, Some("/")), "{}", signed_in.text());

    portal.advance(SignedDuration::from_mins(6));
    let page = ana.next().open("/step-up?return=/me/factors").await;
    let proven = ana.prove(&page, &mut key, &[]).await;
    assert_eq!((proven.status, proven.location()), (303, Some("/me/factors")), "{}", proven.text());

    let mut conn = portal.database.connect_superuser().await;
    let mark = "insert into portal.step_up_gate (id, source, pipeline, stage, action, from_at)
        values (gen_random_uuid(), '*', '*', '*', '*', now())";
    sqlx::query(mark).execute(&mut conn).await.unwrap();
    portal.advance(SignedDuration::from_mins(6));
    let path = format!("/approvals/{}", portal.approval_id("shop").await);
    let page = ana.next().open(&path).await;
    let fingerprint = page.hidden_fields(&format!("{path}/decision"))["fingerprint"].clone();
    let decided = [("verdict", "approved"), ("fingerprint", fingerprint.as_str())];
    let sent = ana.prove(&page, &mut key, &decided).await;
    assert_eq!(sent.status, 303, "{}", sent.text());
    ana.next().open(sent.location().unwrap()).await.says("Approved at AWS");
    assert_eq!(portal.simulator.effects().len(), 1);
    let intended = portal.records_of("decision.intended").await.pop().unwrap().payload;
    assert_eq!(proof::check(&intended.to_string()), Ok(true));
    portal.finish().await;
}
