//! Requests to identity providers. Owns what may be asked and how much may be answered: https, or this machine itself; no
//! redirects, five seconds, 256 KiB. It must never log what it carries.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse, http};
use reqwest::redirect;

use crate::domain::loopback::is_loopback;

/// For one request, from the first byte sent to the last one read.
const TIME: Duration = Duration::from_secs(5);
/// The longest answer. Key sets and claims of real providers have a few KiB.
const LONGEST: usize = 256 * 1024;

/// The way to one provider.
#[derive(Debug, Clone)]
pub(super) struct Wire {
    http: reqwest::Client,
    on_loopback: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("it sends to {0}, which is neither https nor on this machine")]
    Insecure(String),
    #[error("it answered with a redirect ({0}), which is not followed")]
    Redirect(http::StatusCode),
    #[error("its answer is longer than 256 KiB")]
    TooLong,
    #[error("it cannot be reached: {}", reasons(.0))]
    Unreachable(#[from] reqwest::Error),
    #[error("it answered {0}")]
    Broken(http::StatusCode),
    #[error("{0}")]
    Malformed(#[from] http::Error),
}

impl WireError {
    /// Whether it may be different in a moment.
    pub(super) fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Broken(_))
    }
}

/// The error with what lies under it: the outermost only says that something was being sent.
fn reasons(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

impl Wire {
    /// # Errors
    /// TLS cannot be set up on this machine.
    pub(super) fn open(on_loopback: bool) -> Result<Self, reqwest::Error> {
        let client =
            reqwest::Client::builder().redirect(redirect::Policy::none()).timeout(TIME).https_only(!on_loopback);
        // What is on this machine is not asked for by way of another.
        let client = if on_loopback { client.no_proxy() } else { client };
        Ok(Self { http: client.build()?, on_loopback })
    }

    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, WireError> {
        let request = reqwest::Request::try_from(request)?;
        if !self.may_ask(request.url()) {
            return Err(WireError::Insecure(request.url().origin().ascii_serialization()));
        }
        let mut response = self.http.execute(request).await?;
        let status = response.status();
        if status.is_redirection() {
            return Err(WireError::Redirect(status));
        }
        if status.is_server_error() {
            return Err(WireError::Broken(status));
        }
        let mut answer = http::Response::builder().status(status);
        if let Some(kind) = response.headers().get(http::header::CONTENT_TYPE) {
            answer = answer.header(http::header::CONTENT_TYPE, kind);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > LONGEST {
                return Err(WireError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(answer.body(body)?)
    }

    /// A provider elsewhere is asked over https only; one on this machine leads nowhere else.
    fn may_ask(&self, url: &url::Url) -> bool {
        if self.on_loopback { is_loopback(url) } else { url.scheme() == "https" }
    }
}

impl<'c> AsyncHttpClient<'c> for Wire {
    type Error = WireError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, WireError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}
