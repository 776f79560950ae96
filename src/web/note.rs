//! One-time messages after a redirect. The cookie carries the name of a sentence, never a sentence, so that nobody can
//! put words on our pages; the page that shows it removes it (`layers::dress`).

use std::fmt;

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::{Deserialize, Serialize};

use super::cookie::{Cookie, Cookies};
use crate::domain::approval::named;

named!(
    /// What a page may say once.
    Note {
        PasswordChanged = "password-changed",
        SessionEnded = "session-ended",
        OtherSessionsEnded = "other-sessions-ended",
        SetUp = "set-up",
    }
);

impl Note {
    /// The sentence.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            Self::PasswordChanged => "Your password is changed. Every other session of yours was ended.",
            Self::SessionEnded => "That session is ended.",
            Self::OtherSessionsEnded => "Every other session of yours is ended.",
            Self::SetUp => "The portal is set up, and you are its first admin.",
        }
    }

    /// The note that came with a request.
    #[must_use]
    pub fn find(headers: &HeaderMap, cookies: Cookies) -> Option<Self> {
        cookies.find(headers, Cookie::Note).and_then(Self::from_name)
    }

    /// 303 to `path`, where this note is shown.
    #[must_use]
    pub fn at(self, path: &str, cookies: Cookies) -> Response {
        let mut response = Redirect::to(path).into_response();
        response.headers_mut().append(header::SET_COOKIE, cookies.set(Cookie::Note, self.name(), Some(60)));
        response
    }
}
