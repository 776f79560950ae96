//! Sending messages. Any number of replicas do so beside each other: a message is taken with a lease that is committed before its
//! channel is asked, and what became of it is only written down by whoever still holds it (H-04). A channel that does not take
//! what it is told is left alone for longer each time, and holds up no other.

use jiff::{SignedDuration, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Method, Request, Url};
use sqlx::PgConnection;

use super::{Channels, webhook};
use crate::domain::channels::{Address, Kind};
use crate::domain::ids::ChannelId;
use crate::domain::retrying::wait_after;
use crate::mail::redacted;
use crate::sealing::Purpose;
use crate::store::channels;
use crate::store::channels::deliveries::{self, Held, Taken};
use crate::wire;

/// How many channels are told something at the same time.
const AT_ONCE: i64 = 8;
/// Well beyond the time that a request has: nobody else takes a message that may still arrive.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// What a chat answers that will not take a message as it is, and how often it is offered one all the same: for more than an hour,
/// because some that are away say so too, and not for days, because what comes after waits behind it.
const WILL_NOT: [u16; 3] = [400, 413, 422];
const OFFERED: i32 = 11;

/// Why a message did not arrive.
struct Trouble {
    status: Option<u16>,
    why: String,
}

impl Trouble {
    fn of(why: impl Into<String>) -> Self {
        Self { status: None, why: why.into() }
    }
}

impl Channels {
    /// Takes a few messages that are due, each of another channel, and tries to send them. Says how many it took; call again
    /// while it is not zero.
    ///
    /// # Errors
    /// The database did not answer. What was taken is taken again when its lease is over.
    pub async fn send(&self) -> sqlx::Result<usize> {
        let taken = self.0.database.pulse.or_dead(self.take()).await?;
        let sent = taken.iter().map(|delivery| self.send_one(delivery));
        futures::future::join_all(sent).await.into_iter().collect::<sqlx::Result<Vec<()>>>()?;
        Ok(taken.len())
    }

    async fn take(&self) -> sqlx::Result<Vec<Taken>> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let mut conn = parts.database.pages.acquire().await?;
        let given_up = deliveries::give_up_useless(&mut conn, now).await?;
        if given_up > 0 {
            tracing::warn!(given_up, "messages to channels could not be sent while they were of use; given up");
        }
        let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
        deliveries::take_due(&mut conn, parts.holder, (now, until), AT_ONCE).await
    }

    async fn send_one(&self, delivery: &Taken) -> sqlx::Result<()> {
        let done = self.ask(delivery).await;
        let parts = &*self.0;
        let write = async {
            let mut conn = parts.database.pages.acquire().await?;
            match done {
                Ok(status) => self.note_told(&mut conn, delivery, status).await,
                Err(trouble) => self.note_trouble(&mut conn, delivery, &trouble).await,
            }
        };
        parts.database.pulse.or_dead(write).await
    }

    /// Asks once. Its status, if it took the message.
    async fn ask(&self, delivery: &Taken) -> Result<u16, Trouble> {
        let request = self.request(delivery)?;
        let address = request.url().clone();
        // Of the certificate that it shows, whoever answers chooses what is in an error.
        let away = |away: wire::Away| Trouble::of(without(&address, &away.to_string()));
        let (status, body) = self.0.wire.ask(request).await.map_err(away)?;
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let why = wire::explain(status, &body, |line| without(&address, line));
        Err(Trouble { status: Some(status.as_u16()), why })
    }

    /// What is sent, with the time of now.
    fn request(&self, delivery: &Taken) -> Result<Request, Trouble> {
        let parts = &*self.0;
        let gone = || Trouble::of("its address is sealed with a key that is gone; type it again");
        let open = |what: &str, sealed: &Option<Vec<u8>>| {
            let sealed = sealed.as_ref().ok_or_else(gone)?;
            parts.sealer.open_sealed(Purpose::Channel, &owner(delivery.channel, what), sealed).map_err(|_| gone())
        };
        let opened = open(ADDRESS, &delivery.sealed_address)?;
        let text = std::str::from_utf8(&opened).map_err(|_| gone())?;
        // The operator may have taken its host off the list since.
        let address = Address::parse(text, delivery.kind, &parts.hosts).map_err(Trouble::of)?;
        let mut request = Request::new(Method::POST, address.expose().clone());
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Countersign/", env!("CARGO_PKG_VERSION"))));
        if delivery.kind == Kind::Webhook {
            sign(headers, delivery, &open(SECRET, &delivery.sealed_secret)?, parts.clock.now());
        }
        *request.body_mut() = Some(delivery.body.clone().into());
        Ok(request)
    }

    async fn note_told(&self, conn: &mut PgConnection, delivery: &Taken, status: u16) -> sqlx::Result<()> {
        let (id, channel, attempt) = (delivery.id, delivery.channel, delivery.attempt);
        tracing::info!(delivery = %id, %channel, attempt, status, "a channel was told");
        // Whoever took it meanwhile tells it a second time, and notes that.
        deliveries::mark_told(conn, self.held(delivery), self.0.clock.now(), status).await?;
        channels::mark_well(conn, channel).await?;
        if delivery.tells == TEST {
            // Somebody made it well, and looks.
            deliveries::bring_forward(conn, channel, self.0.clock.now()).await?;
        }
        Ok(())
    }

    async fn note_trouble(&self, conn: &mut PgConnection, delivery: &Taken, trouble: &Trouble) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let after =
            |failures: i32| now.checked_add(wait_after(failures, self.0.random.fraction())).unwrap_or(Timestamp::MAX);
        let will_not = delivery.kind.is_chat()
            && delivery.attempt >= OFFERED
            && trouble.status.is_some_and(|status| WILL_NOT.contains(&status));
        let next = Some(after(delivery.attempt)).filter(|next| !will_not && *next < delivery.useless_at);
        let (id, channel, attempt, why) = (delivery.id, delivery.channel, delivery.attempt, trouble.why.as_str());
        match next {
            Some(_) => {
                tracing::warn!(delivery = %id, %channel, attempt, why, "a channel could not be told; tried again");
            }
            None => tracing::warn!(delivery = %id, %channel, attempt, why, "a channel could not be told; given up"),
        }
        let failed = (trouble.status, why);
        if !deliveries::mark_failed(conn, self.held(delivery), (now, next), failed).await? {
            return Ok(());
        }
        if will_not {
            // What comes after it may be taken.
            channels::mark_well(conn, delivery.channel).await
        } else {
            channels::mark_ill(conn, channel, delivery.failures, after(delivery.failures.saturating_add(1))).await
        }
    }

    fn held(&self, delivery: &Taken) -> Held {
        Held { id: delivery.id, holder: self.0.holder, attempt: delivery.attempt }
    }
}

/// What somebody says, on one bounded line, without anything of an address that makes it one.
fn without(address: &Url, said: &str) -> String {
    let mut secrets: Vec<String> = address.query_pairs().map(|(_, value)| value.into_owned()).collect();
    secrets.extend(address.query().map(str::to_owned));
    secrets.extend(address.path().split('/').chain([address.path()]).map(str::to_owned));
    secrets.retain(|secret| secret.len() >= 6);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let said = secrets.iter().fold(said.to_owned(), |said, secret| said.replace(secret.as_str(), "[…]"));
    redacted(&said, None)
}

/// What a message tells that says nothing.
pub(super) const TEST: &str = "test";

/// What of a channel is sealed.
pub(super) const ADDRESS: &str = "address";
pub(super) const SECRET: &str = "secret";

pub(super) fn owner(channel: ChannelId, what: &str) -> String {
    format!("channel {channel} {what}")
}

fn sign(headers: &mut HeaderMap, delivery: &Taken, secret: &[u8], now: Timestamp) {
    let signature = webhook::signature(secret, now, &delivery.body);
    for (name, value) in [
        ("countersign-delivery", delivery.id.to_string()),
        ("countersign-timestamp", now.as_second().to_string()),
        ("countersign-signature", signature),
    ] {
        headers.insert(name, HeaderValue::try_from(value).expect("letters, digits and = make a header"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_end_repeats_of_its_address_is_left_out_and_the_rest_fits_where_it_is_kept() {
        let address = "https://prod-1.logic.azure.com/workflows/hunter2/run?sig=s%2Becret&sv=1.0".parse().unwrap();
        for said in ["no /workflows/hunter2/run here", "hunter2: s+ecret", "sig=s%2Becret&sv=1.0", "hunter2\0\u{202e}"]
        {
            let kept = without(&address, said);
            assert!(
                !kept.contains("hunter2") && !kept.contains("ecret") && !kept.contains(['\0', '\u{202e}']),
                "{kept}"
            );
        }
        let names = "only valid for DnsName(\"evil.example\"), ".repeat(1000);
        assert!(without(&address, &names).chars().count() <= 400);
    }
}
