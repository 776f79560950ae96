//! The one error type of pages. A handler returns a [`Failure`]; what the person reads is made of it in one place
//! (`layers::dress`), which knows the request id and whether the caller is a page or a program.
//!
//! What went wrong inside is logged here, once, and never shown (S-45).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::accounts::Unavailable;
use crate::database::outage::is_transient;

/// A request that is not answered with what was asked for.
#[derive(Debug)]
pub struct Failure {
    status: StatusCode,
    said: Said,
    retry_after: Option<Duration>,
    challenge: Option<&'static str>,
}

/// What an error page says. Travels with the response to where the page is made.
#[derive(Debug, Clone, Default)]
pub struct Said {
    /// A sentence for the person: what was wrong, what to do.
    pub text: Option<String>,
    /// Where to go next: label and path.
    pub next: Option<(String, String)>,
}

impl Failure {
    /// A failure with this status; without [`Failure::saying`] the page explains the status in general words.
    #[must_use]
    pub fn new(status: StatusCode) -> Self {
        Self { status, said: Said::default(), retry_after: None, challenge: None }
    }

    /// 400: the request is not one that our pages make.
    #[must_use]
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST).saying(text)
    }

    /// 403.
    #[must_use]
    pub fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN).saying(text)
    }

    /// 404: there is nothing, or nothing this person may know of. The two look alike (S-31), so it takes no text.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND)
    }

    /// 409.
    #[must_use]
    pub fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT).saying(text)
    }

    /// 503 with `Retry-After`. Whoever knows what was done and what was not says so; otherwise the page admits that
    /// nobody does.
    #[must_use]
    pub fn unavailable(after: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE).after(after)
    }

    /// 429 with `Retry-After`.
    #[must_use]
    pub fn too_many(after: Duration) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS).after(after)
    }

    /// 500. `why` goes to the log with the request's id, and nowhere else.
    #[must_use]
    pub fn internal(why: impl std::fmt::Display) -> Self {
        tracing::error!(why = %why, "the request failed inside the portal");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Says this sentence on the page.
    #[must_use]
    pub fn saying(mut self, text: impl Into<String>) -> Self {
        self.said.text = Some(text.into());
        self
    }

    /// Says that nothing was done, where the database failed before anything could be.
    #[must_use]
    pub fn before_anything(self) -> Self {
        if self.status != StatusCode::SERVICE_UNAVAILABLE {
            return self;
        }
        self.saying(
            "The portal's database does not answer just now, so this request did nothing. Try again in a moment.",
        )
    }

    /// Offers this as the next step.
    #[must_use]
    pub fn with_next(mut self, label: impl Into<String>, path: impl Into<String>) -> Self {
        self.said.next = Some((label.into(), path.into()));
        self
    }

    /// Tells a program how it has to show who it is (`WWW-Authenticate`).
    #[must_use]
    pub fn challenging(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    fn after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if is_transient(&error) {
            tracing::warn!(%error, "the database did not answer in time");
            Self::unavailable(Duration::from_secs(2))
        } else {
            Self::internal(error)
        }
    }
}

impl From<Unavailable> for Failure {
    fn from(error: Unavailable) -> Self {
        let cause = std::error::Error::source(&error);
        match cause.and_then(|cause| cause.downcast_ref::<sqlx::Error>()) {
            Some(cause) if !is_transient(cause) => Self::internal(cause),
            _ => {
                tracing::warn!(
                    cause = cause.map(tracing::field::display),
                    "accounts cannot be read or changed just now"
                );
                Self::unavailable(Duration::from_secs(2))
            }
        }
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::internal(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if let Some(after) = self.retry_after {
            // Rounded up: a caller that waits exactly this long must not be early.
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response.extensions_mut().insert(self.said);
        response
    }
}
