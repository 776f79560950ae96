//! Form tokens (S-38), and [`CsrfForm`], the only way in which a handler gets at a form's fields.
//!
//! A token is a random nonce and an HMAC over it with a secret of the session (or, before sign-in, of the form cookie).
//! It is made anew for every page, so that compressing a page never leaks it (BREACH). Reading a form refuses unknown
//! and repeated fields (S-34), because a field that the page did not have was put there by somebody else.

use aws_lc_rs::hmac;
use axum::extract::{FromRequest, Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use url::form_urlencoded;

use super::error::Failure;
use super::extract::strict;
use super::guard::Visitor;
use crate::random::Random;

const FIELD: &str = "csrf";
const NONCE: usize = 16;

/// What form tokens are bound to.
#[derive(Clone)]
pub struct Binding(hmac::Key);

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Binding([redacted])")
    }
}

impl Binding {
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A fresh token.
    #[must_use]
    pub fn token(&self, random: &Random) -> String {
        let mut bytes = random.bytes::<NONCE>().to_vec();
        let tag = hmac::sign(&self.0, &bytes);
        bytes.extend_from_slice(tag.as_ref());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Whether `token` was made with this binding. Constant time in everything secret.
    #[must_use]
    pub fn accepts(&self, token: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else { return false };
        bytes.len() > NONCE && hmac::verify(&self.0, &bytes[..NONCE], &bytes[NONCE..]).is_ok()
    }
}

/// The fields of a form whose token was right. They cannot be reached before it was verified.
#[derive(Debug)]
pub struct CsrfForm<T>(T);

impl<T> CsrfForm<T> {
    /// The fields.
    #[must_use]
    pub fn read(self) -> T {
        self.0
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for CsrfForm<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let CsrfPairs(pairs) = CsrfPairs::from_request(request, state).await?;
        let mut rest = form_urlencoded::Serializer::new(String::new());
        rest.extend_pairs(pairs);
        strict(rest.finish().as_bytes()).map(Self).map_err(Failure::bad_request)
    }
}

/// The same, as they came: for the one page that keeps another page's fields.
#[derive(Debug)]
pub struct CsrfPairs(pub Vec<(String, String)>);

impl<S: Send + Sync> FromRequest<S> for CsrfPairs {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let visitor = request.extensions().get::<Visitor>().cloned();
        let binding = visitor.and_then(|visitor| visitor.binding);
        let bytes = form_bytes(request, state).await?;
        let mut token = None;
        let mut rest = Vec::new();
        for (name, value) in form_urlencoded::parse(&bytes) {
            if name == FIELD && token.is_none() {
                token = Some(value.into_owned());
            } else {
                rest.push((name.into_owned(), value.into_owned()));
            }
        }
        let right = matches!((&binding, &token), (Some(binding), Some(token)) if binding.accepts(token));
        if !right {
            return Err(Failure::forbidden(
                "This form was not made by the page you are signed in to, or it is too old. Nothing was done. \
                 Go back, reload the page and try again.",
            ));
        }
        Ok(Self(rest))
    }
}

async fn form_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<axum::body::Bytes, Failure> {
    let kind = request.headers().get(axum::http::header::CONTENT_TYPE);
    let is_form = kind
        .and_then(|kind| kind.to_str().ok())
        .is_some_and(|kind| kind.split(';').next().unwrap_or_default().trim() == "application/x-www-form-urlencoded");
    if !is_form {
        return Err(Failure::new(axum::http::StatusCode::UNSUPPORTED_MEDIA_TYPE)
            .saying("Forms are taken as application/x-www-form-urlencoded only."));
    }
    axum::body::Bytes::from_request(request, state)
        .await
        .map_err(|_| Failure::bad_request("The form could not be read to its end. Nothing was done; try again."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_binding_only_and_never_the_same_twice() {
        let random = Random::system();
        let (ours, theirs) = (Binding::new(&[1; 32]), Binding::new(&[2; 32]));
        let token = ours.token(&random);
        assert!(ours.accepts(&token));
        assert!(!theirs.accepts(&token));
        assert_ne!(token, ours.token(&random));
    }

    #[test]
    fn a_changed_or_cut_token_is_refused() {
        let ours = Binding::new(&[1; 32]);
        let token = ours.token(&Random::system());
        assert!(!ours.accepts(""));
        assert!(!ours.accepts(&token[..22]));
        assert!(!ours.accepts(&token[..token.len() - 4]));
        let flipped = format!("{}{}", if token.starts_with('A') { "B" } else { "A" }, &token[1..]);
        assert!(!ours.accepts(&flipped));
    }
}
