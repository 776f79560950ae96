//! A portal with an admin who makes channels, and every host there is on loopback.

use std::time::Duration;

use countersign::channels::Channels;
use countersign::simulator::Verdict;
use jiff::SignedDuration;
use serde_json::Value;

use crate::harness::{Browser, Portal};
use crate::server::{Answer, Asked, Server};

pub const PROGRAM: &str = "https://hooks.example.com/told/hunter2-hunter2-hunter2";
pub const SLACK: &str = "https://hooks.slack.com/services/T0/B0/hunter2";
pub const TEAMS: &str = "https://prod-1.westeurope.logic.azure.com/workflows/hunter2?sig=hunter2";
pub const OTHER: &str = "https://other.example.org/told";
const GATHERED: SignedDuration = SignedDuration::from_secs(10);
/// Nobody is given up here because this machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(3600);

pub struct Stage {
    pub portal: Portal,
    pub server: Server,
    pub channels: Channels,
    pub adam: Browser,
}

impl Stage {
    pub async fn start() -> Self {
        let more =
            "public_url = \"https://sign.example\"\n[channels]\nhosts = [\"hooks.example.com\", \"*.example.org\"]";
        let portal = Portal::start_with(more).await;
        let hosts = ["hooks.example.com", "other.example.org", "hooks.slack.com", "prod-1.westeurope.logic.azure.com"];
        let server = Server::start(&hosts).await;
        let channels = portal.state.channels.by_way_of(server.client(), PATIENCE).unwrap();
        let adam = portal.as_admin().await;
        Self { portal, server, channels, adam }
    }

    /// Makes a channel by its pages, told of everything at these pipelines. Its page's path, and what a webhook is signed with.
    pub async fn make(&self, kind: &str, name: &str, address: &str, pipeline: &str) -> (String, Option<String>) {
        self.make_of(kind, name, address, &format!("pipeline={pipeline}")).await
    }

    /// The same, with these fields of a pattern.
    pub async fn make_of(&self, kind: &str, name: &str, address: &str, gates: &str) -> (String, Option<String>) {
        let told = "waiting=on&reminders=on&ends=on&blind=on";
        let look = format!("/admin/channels/new?look=1&kind={kind}&name={name}&{gates}&{told}");
        let page = self.adam.open(&look).await;
        let made = self.adam.submit(&page, "/admin/channels", &[("address", address)]).await;
        if kind == "webhook" {
            assert_eq!(made.status, 200, "{}", made.text());
            let secret = made.body.split("whsec_").nth(1).unwrap()[..64].to_owned();
            let id = self.portal.records_of("channel.made").await.pop().unwrap().payload["channel"].clone();
            return (format!("/admin/channels/{}", id.as_str().unwrap()), Some(format!("whsec_{secret}")));
        }
        assert_eq!(made.status, 303, "{}", made.text());
        (made.location().unwrap().to_owned(), None)
    }

    /// From now on, what is sent there is taken.
    pub fn takes(&self, address: &str) {
        self.answers(address, Answer::ok("ok"));
    }

    pub fn answers(&self, address: &str, answer: Answer) {
        self.server.answer(path_of(address), answer);
    }

    /// From now on nothing is answered there, until [`Stage::goes_on`].
    pub fn hangs(&self, address: &str) {
        self.server.hang_at(path_of(address));
    }

    pub fn goes_on(&self, address: &str) {
        self.server.go_on_at(path_of(address));
    }

    /// Another replica, which finds every host where this one does.
    pub fn replica(&self) -> Channels {
        self.channels.by_way_of(self.server.client(), PATIENCE).unwrap()
    }

    /// Until so many messages came there.
    pub async fn came(&self, address: &str, many: usize) {
        while self.sent_to(address).len() < many {
            tokio::task::yield_now().await;
        }
    }

    /// Does everything that is due for telling channels.
    pub async fn tell(&self) {
        while self.channels.step().await.unwrap() > 0 {}
        while self.channels.send().await.unwrap() > 0 {}
    }

    /// As [`Stage::tell`], after the time that chats gather in.
    pub async fn tell_chats(&self) {
        self.tell().await;
        self.portal.advance(GATHERED);
        self.tell().await;
    }

    /// What was sent there, oldest first.
    pub fn sent_to(&self, address: &str) -> Vec<Asked> {
        let path = path_of(address);
        self.server.asked().into_iter().filter(|asked| asked.path == path).collect()
    }

    pub fn bodies_to(&self, address: &str) -> Vec<Value> {
        self.sent_to(address).iter().map(|asked| serde_json::from_str(&asked.body).unwrap()).collect()
    }

    /// Of the webhook's messages, what they tell of.
    pub fn types_to(&self, address: &str) -> Vec<String> {
        self.bodies_to(address).iter().map(|body| body["type"].as_str().unwrap().to_owned()).collect()
    }

    /// Presses a button on a channel's page.
    pub async fn press(&self, page: &str, action: &str) -> u16 {
        let shown = self.adam.open(page).await;
        self.adam.submit(&shown, &format!("{page}{action}"), &[]).await.status
    }

    /// Somebody answers in the console.
    pub async fn approve(&self, pipeline: &str) {
        let open = self.portal.world().open_approvals().into_iter().find(|open| open.pipeline == pipeline).unwrap();
        let ines = "arn:aws:iam::111122223333:user/ines";
        self.portal.world().decide(&open, Verdict::Approved, "Looks good <!channel>", ines);
        self.portal.advance(SignedDuration::from_secs(1));
        self.portal.watcher.activate().await;
    }

    pub async fn texts(&self, sql: &'static str) -> Vec<String> {
        sqlx::query_scalar(sql).fetch_all(&mut self.portal.database.connect_superuser().await).await.unwrap()
    }

    /// So many more approvals wait at this pipeline's gate, as if as many pipelines had been seen at once.
    pub async fn open_more(&self, pipeline: &str, many: i32) {
        let sql = "insert into portal.approval select (jsonb_populate_record(a, jsonb_build_object(
                'id', gen_random_uuid(),
                'token_hash', '\\x' || encode(sha256(uuid_send(gen_random_uuid())), 'hex')))).*
            from generate_series(1, $2), portal.approval a
            where a.id = (select id from portal.approval where pipeline = $1 order by found_at, id limit 1)";
        let mut conn = self.portal.database.connect_superuser().await;
        sqlx::query(sql).bind(pipeline).bind(many).execute(&mut conn).await.unwrap();
    }

    pub async fn finish(self) {
        self.portal.finish().await;
    }
}

fn path_of(address: &str) -> &str {
    let rest = address.strip_prefix("https://").unwrap();
    let path = &rest[rest.find('/').unwrap()..];
    path.split('?').next().unwrap()
}
