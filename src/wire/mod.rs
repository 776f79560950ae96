//! Requests to hosts that this portal does not choose itself: https, no redirects, five seconds, 64 KiB, and where somebody
//! typed the address, only to addresses that are public (U-13). It must never log what it carries, nor where to: addresses may
//! be secrets.

mod public;

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::header::HeaderMap;
use reqwest::{ClientBuilder, StatusCode, redirect};

pub use public::is_public;
use public::{Machine, PublicOnly};

/// For one request, from looking the name up to the last byte read.
pub const TIME: Duration = Duration::from_secs(5);
/// The longest answer.
const LONGEST: usize = 64 * 1024;
/// So many characters of what is answered are kept, of its first line.
const KEPT: usize = 120;

/// The way to a host: https, no redirects, five seconds, 64 KiB.
#[derive(Debug, Clone)]
pub struct Wire(reqwest::Client);

/// What an answer says that is not the one hoped for: its status, and so much of its first line, once `clean` has taken out what
/// must not be kept.
pub fn explain(status: StatusCode, body: &[u8], clean: impl FnOnce(&str) -> String) -> String {
    let body = String::from_utf8_lossy(body);
    let said: String = clean(body.lines().next().unwrap_or_default()).chars().take(KEPT).collect();
    if said.trim().is_empty() { format!("it answered {status}") } else { format!("it answered {status}: {said}") }
}

/// There was no answer.
#[derive(Debug, thiserror::Error)]
#[error("it cannot be reached: {0}")]
pub struct Away(String);

/// A client for hosts that somebody typed. It connects to what it resolved and judged itself, so that a name cannot lead
/// elsewhere between the look and the connection; and to nobody by way of a proxy, which would resolve for itself.
pub fn strangers() -> ClientBuilder {
    strangers_by(Arc::new(Machine))
}

/// The same, with names looked up by somebody else, whose answers are judged all the same.
pub fn strangers_by(names: Arc<dyn Resolve>) -> ClientBuilder {
    reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(PublicOnly { names }))
}

impl Wire {
    /// # Errors
    /// TLS cannot be set up.
    pub fn open(http: ClientBuilder) -> Result<Self, reqwest::Error> {
        Self::open_within(http, TIME)
    }

    /// The same, with another time for each request.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn open_within(http: ClientBuilder, time: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self(http.redirect(redirect::Policy::none()).timeout(time).https_only(true).build()?))
    }

    /// Asks once. What is longer than 64 KiB is cut off, and none of it is given.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn ask(&self, request: reqwest::Request) -> Result<(StatusCode, Vec<u8>), Away> {
        let (status, _, body) = self.ask_with_headers(request).await?;
        Ok((status, body))
    }

    /// As [`Wire::ask`], with the headers of the answer.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn ask_with_headers(&self, request: reqwest::Request) -> Result<(StatusCode, HeaderMap, Vec<u8>), Away> {
        let away = |error: reqwest::Error| Away(reasons(&error.without_url()));
        let mut response = self.0.execute(request).await.map_err(away)?;
        let headers = response.headers().clone();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > LONGEST {
                return Ok((response.status(), headers, Vec::new()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((response.status(), headers, body))
    }
}

/// The error with what lies under it: the outermost only says that something was being sent.
fn reasons(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_that_somebody_typed_is_not_connected_to_where_its_name_leads_inside() {
        // U-13: judged at the connection, by the client that serves.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port()).parse().unwrap();
        let wire = Wire::open(strangers()).unwrap();
        tokio::select! {
            answer = wire.ask(reqwest::Request::new(reqwest::Method::POST, url)) => {
                let said = answer.unwrap_err().to_string();
                assert!(said.contains("not public") && !said.contains("localhost:"), "{said}");
            }
            _ = listener.accept() => panic!("somebody connected"),
        }
    }

    #[tokio::test]
    async fn whoever_says_nothing_is_waited_for_no_longer_than_a_request_has() {
        // U-13: connections are taken here, and nothing is ever said.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let wire = Wire::open_within(reqwest::Client::builder().no_proxy(), Duration::from_millis(1)).unwrap();
        let away = wire.ask(reqwest::Request::new(reqwest::Method::POST, url)).await.unwrap_err();
        assert!(away.to_string().contains("timed out"), "{away}");
    }
}
