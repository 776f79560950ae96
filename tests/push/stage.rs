//! A portal whose push is on, and the service that its messages come to.

use countersign::push::Push;
use countersign::simulator::{OpenApproval, Verdict};
use jiff::SignedDuration;
use reqwest::Method;

use crate::harness::{Browser, Page, Portal};
use crate::service::{HOST, Phone, PushService};

pub const GATHERED: SignedDuration = SignedDuration::from_secs(10);
pub const MINUTE: SignedDuration = SignedDuration::from_mins(1);
pub const HOUR: SignedDuration = SignedDuration::from_hours(1);
pub const CONTACT: &str = "mailto:ops@example.com";

pub struct Stage {
    pub portal: Portal,
    pub service: PushService,
    /// As the portal's own, with every host on loopback.
    pub push: Push,
}

pub fn config() -> String {
    format!(
        "public_url = \"https://sign.example\"\n[push]\nenabled = true\ncontact = {CONTACT:?}\nservices = [{HOST:?}]\n"
    )
}

impl Stage {
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With this configuration beside.
    pub async fn with(more: &str) -> Self {
        let portal = Portal::start_with(&format!("{}{more}", config())).await;
        let service = PushService::start().await;
        let push = portal.state.push.by_way_of(service.client()).unwrap();
        Self { portal, service, push }
    }

    /// Everything is worked out and written that is due, and nothing sent.
    pub async fn write(&self) {
        self.portal.state.notices.look_around().await.unwrap();
        while self.portal.state.notices.step().await.unwrap() > 0 {}
        assert_eq!(self.count("select count(*) from portal.notice where last_error is not null").await, 0);
    }

    /// Everything that is due is sent.
    pub async fn send(&self) {
        while self.push.send().await.unwrap() > 0 {}
    }

    /// Does everything that is due, now and after the time that is gathered in.
    pub async fn tell(&self) {
        self.write().await;
        self.portal.advance(GATHERED);
        self.write().await;
        self.send().await;
    }

    /// The clock moves on in steps, and everything is done at each.
    pub async fn pass(&self, time: SignedDuration, step: SignedDuration) {
        let mut left = time;
        while left > SignedDuration::ZERO {
            self.portal.advance(step.min(left));
            left -= step;
            self.write().await;
            self.send().await;
        }
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&mut self.portal.database.connect_superuser().await).await.unwrap()
    }

    pub async fn waiting_messages(&self) -> i64 {
        self.count("select count(*) from portal.push_message where due_at is not null").await
    }

    /// An approver with a phone on which it is on.
    pub async fn approver(&self, name: &str) -> (Browser, Phone) {
        let browser = self.portal.as_approver(name).await;
        let phone = Phone::new(name);
        self.turn_on(&browser, &phone).await;
        (browser, phone)
    }

    pub async fn turn_on(&self, browser: &Browser, phone: &Phone) {
        let answer = turn_on(browser, phone).await;
        assert_eq!((answer.status, answer.location()), (303, Some("/me/notifications")), "{}", answer.text());
    }

    /// Ines decides it at AWS itself.
    pub async fn decided_elsewhere(&self, open: &OpenApproval, verdict: Verdict) {
        self.portal.world().decide(open, verdict, "As agreed", "arn:aws:iam::111122223333:user/ines");
        self.portal.watcher.activate().await;
    }

    pub async fn finish(self) {
        self.portal.finish().await;
    }
}

/// As the script of the page does.
pub async fn turn_on(browser: &Browser, phone: &Phone) -> Page {
    let page = browser.open("/me/notifications").await;
    let fields = phone.fields();
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.submit(&page, "/me/notifications/push", &fields).await
}

/// As the service worker does, when its push service gave its browser another address. The old one with its secret.
pub async fn renew(browser: &Browser, old: (&Phone, &str), new: &Phone) -> Page {
    let fields = [
        ("old_endpoint", old.0.address()),
        ("old_p256dh", old.0.key()),
        ("old_auth", old.1.to_owned()),
        ("endpoint", new.address()),
        ("p256dh", new.key()),
        ("auth", new.secret()),
    ];
    let request = browser.request(Method::POST, "/push/renewed").form(&fields);
    browser.send("/push/renewed", request).await
}
