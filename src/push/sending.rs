//! Sending messages. Any number of replicas do so beside each other: a message is taken with a lease that is committed before its
//! push service is asked, and what became of it is only written down by whoever still holds it (H-04). A browser whose service does
//! not take what it is told is left alone for longer each time, or as long as the service asks, and holds up no other.

use jiff::fmt::rfc2822::DateTimeParser;
use jiff::{SignedDuration, Timestamp};
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT,
};
use reqwest::{Method, Request, StatusCode};
use sqlx::Connection as _;

use super::Push;
use super::encrypting::{Once, encrypt};
use super::key::ServerKey;
use super::message::owner;
use crate::accounts::By;
use crate::domain::retrying::wait_after;
use crate::mail::redacted;
use crate::sealing::Purpose;
use crate::store::push::browsers;
use crate::store::push::messages::{self, Held, Taken};
use crate::wire;

/// How many browsers are told something at the same time.
const AT_ONCE: i64 = 8;
/// Well beyond the time that a request has: nobody else takes a message that may still arrive.
const LEASE: SignedDuration = SignedDuration::from_secs(60);
/// As long as anything is of use.
const LONGEST_ASKED: SignedDuration = SignedDuration::from_hours(72);

/// Why a message did not arrive.
struct Trouble {
    status: Option<u16>,
    why: String,
    then: Then,
}

/// What is done about it.
#[derive(Clone, Copy)]
enum Then {
    /// Tried again, and not before so long.
    Again(Option<SignedDuration>),
    /// This message will not be taken, whenever it is sent.
    GiveUp,
    /// There is no such browser any more.
    End,
}

impl Trouble {
    fn of(why: impl Into<String>, then: Then) -> Self {
        Self { status: None, why: why.into(), then }
    }
}

impl Push {
    /// Takes a few messages that are due, each of another browser, and tries to send them. Says how many it took; call again
    /// while it is not zero.
    ///
    /// # Errors
    /// The database did not answer. What was taken is taken again when its lease is over.
    pub async fn send(&self) -> sqlx::Result<usize> {
        if !self.is_on() {
            return Ok(0);
        }
        let Some((taken, key)) = self.0.database.pulse.or_dead(self.take()).await? else { return Ok(0) };
        let sent = taken.iter().map(|message| self.send_one(message, &key));
        futures::future::join_all(sent).await.into_iter().collect::<sqlx::Result<Vec<()>>>()?;
        Ok(taken.len())
    }

    async fn take(&self) -> sqlx::Result<Option<(Vec<Taken>, ServerKey)>> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let mut conn = parts.database.pages.acquire().await?;
        let given_up = messages::give_up_useless(&mut conn, now).await?;
        if given_up > 0 {
            tracing::warn!(given_up, "messages to browsers could not be sent while they were of use; given up");
        }
        let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
        let taken = messages::take_due(&mut conn, parts.holder, (now, until), AT_ONCE).await?;
        if taken.is_empty() {
            return Ok(None);
        }
        Ok(Some((taken, self.key(&mut conn).await?)))
    }

    async fn send_one(&self, message: &Taken, key: &ServerKey) -> sqlx::Result<()> {
        let done = self.ask(message, key).await;
        let write = async {
            match done {
                Ok(status) => self.note_told(message, status).await,
                Err(trouble) => self.note_trouble(message, &trouble).await,
            }
        };
        self.0.database.pulse.or_dead(write).await
    }

    /// Asks once. Its status, if the service took the message.
    async fn ask(&self, message: &Taken, key: &ServerKey) -> Result<u16, Trouble> {
        let request = self.request(message, key)?;
        let secret = request.url().path().trim_matches('/').to_owned();
        // Of the certificate that it shows, whoever answers chooses what is in an error.
        let again = |away: wire::Away| Trouble::of(redacted(&away.to_string(), Some(&secret)), Then::Again(None));
        let (status, headers, body) = self.0.wire.ask_with_headers(request).await.map_err(again)?;
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let why = wire::explain(status, &body, |line| redacted(line, Some(&secret)));
        let then = match status {
            StatusCode::NOT_FOUND | StatusCode::GONE => Then::End,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Then::Again(asked(&headers, self.0.clock.now()))
            }
            status if status.is_server_error() => Then::Again(asked(&headers, self.0.clock.now())),
            _ => Then::GiveUp,
        };
        Err(Trouble { status: Some(status.as_u16()), why, then })
    }

    /// What is sent, with the time of now (RFC 8030, 5).
    fn request(&self, message: &Taken, key: &ServerKey) -> Result<Request, Trouble> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let gone = || Trouble::of("where it is reached is sealed with a key that is gone", Then::End);
        let to = self.open_browser(message.browser, &message.sealed_browser).ok_or_else(gone)?;
        // The operator may have taken its host off the list since.
        to.check(&parts.config.services).map_err(|bad| Trouble::of(bad.to_string(), Then::GiveUp))?;
        let sealed = message.sealed.as_deref().unwrap_or_default();
        let unreadable = || Trouble::of("what it says is sealed with a key that is gone", Then::GiveUp);
        let text = parts.sealer.open_sealed(Purpose::Push, &owner(message.id), sealed).map_err(|_| unreadable())?;
        let body = encrypt(&text, (to.key(), to.secret()), &Once::new(&parts.random))
            .map_err(|bad| Trouble::of(bad.to_string(), Then::GiveUp))?;
        let contact = parts.config.contact().unwrap_or_default();
        let proof = key.authorization(&to.address().origin().ascii_serialization(), contact, now);
        let mut request = Request::new(Method::POST, to.address().clone());
        let unfit = |_| Trouble::of("its proof is no header", Then::GiveUp);
        let mut proof = HeaderValue::try_from(proof).map_err(unfit)?;
        proof.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, proof);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("Countersign/", env!("CARGO_PKG_VERSION"))));
        let left = message.useless_at.duration_since(now).as_secs().max(0);
        headers.insert(HeaderName::from_static("ttl"), HeaderValue::from(left));
        for (name, value) in [("urgency", &message.urgency), ("topic", &message.topic)] {
            headers.insert(HeaderName::from_static(name), HeaderValue::try_from(value).map_err(unfit)?);
        }
        *request.body_mut() = Some(body.into());
        Ok(request)
    }

    async fn note_told(&self, message: &Taken, status: u16) -> sqlx::Result<()> {
        let (id, browser, attempt) = (message.id, message.browser, message.attempt);
        tracing::info!(message = %id, %browser, attempt, status, "a browser was told");
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        // Whoever took it meanwhile tells it a second time, and notes that.
        messages::mark_told(&mut conn, self.held(message), now, status).await?;
        browsers::mark_well(&mut conn, browser, now).await
    }

    async fn note_trouble(&self, message: &Taken, trouble: &Trouble) -> sqlx::Result<()> {
        let now = self.0.clock.now();
        let (id, browser, attempt, why) = (message.id, message.browser, message.attempt, trouble.why.as_str());
        let mut conn = self.0.database.pages.acquire().await?;
        let failed = (trouble.status, why);
        match trouble.then {
            Then::End => {
                tracing::info!(message = %id, %browser, attempt, why, "a browser is gone; it is told nothing more");
                let mut tx = conn.begin().await?;
                if let Some(ended) = browsers::end_gone(&mut tx, browser, &message.sealed_browser).await? {
                    self.record_ended(&mut tx, &By::System, (&ended, "gone, as its push service says"))
                        .await
                        .map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
                }
                tx.commit().await
            }
            Then::GiveUp => {
                tracing::warn!(message = %id, %browser, attempt, why, "a browser could not be told; given up");
                messages::mark_failed(&mut conn, self.held(message), (now, None), failed).await.map(drop)
            }
            Then::Again(asked) => {
                let wait =
                    |failures: i32| wait_after(failures, self.0.random.fraction()).max(asked.unwrap_or_default());
                let after = |failures| now.checked_add(wait(failures)).unwrap_or(Timestamp::MAX);
                let next = Some(after(attempt)).filter(|next| *next < message.useless_at);
                tracing::warn!(message = %id, %browser, attempt, why, "a browser could not be told; tried again");
                if messages::mark_failed(&mut conn, self.held(message), (now, next), failed).await? {
                    browsers::mark_ill(&mut conn, browser, after(message.failures.saturating_add(1))).await?;
                }
                Ok(())
            }
        }
    }

    fn held(&self, message: &Taken) -> Held {
        Held { id: message.id, holder: self.0.holder, attempt: message.attempt }
    }
}

/// How long the service asks to be left alone: in seconds, or until a moment (RFC 9110, 10.2.3).
fn asked(headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    static DATES: DateTimeParser = DateTimeParser::new();
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u32>() {
        Ok(seconds) => SignedDuration::from_secs(seconds.into()),
        Err(_) => DATES.parse_timestamp(text).ok()?.duration_since(now),
    };
    Some(wait.clamp(SignedDuration::ZERO, LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_asks_to_be_left_alone_in_seconds_or_until_a_moment() {
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let wait = |text: &'static str| {
            let headers = [(RETRY_AFTER, HeaderValue::from_static(text))].into_iter().collect();
            asked(&headers, now).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait("Sun, 22 Nov 2026 10:05:00 GMT"), Some(300));
        assert_eq!(wait("Sun, 22 Nov 2026 09:05:00 GMT"), Some(0));
        assert_eq!(wait("4294967295"), Some(72 * 3600));
        assert_eq!((wait("soon"), wait("-1")), (None, None));
        assert_eq!(asked(&HeaderMap::new(), now), None);
    }
}
