//! What a browser brings back from a provider: the query of an address, written by anybody.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use url::form_urlencoded;

/// What the browser brought back.
#[derive(Clone, Default)]
pub struct Back {
    state: Option<String>,
    code: Option<String>,
    issuer: Option<String>,
    error: Option<String>,
}

impl std::fmt::Debug for Back {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Back([redacted])")
    }
}

impl Back {
    /// Reads the query of the address that the browser was sent to. Providers add parameters of their own; one that is
    /// given twice makes it nobody's answer.
    #[must_use]
    pub fn read(query: &str) -> Self {
        let mut back = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let place = match &*name {
                "state" => &mut back.state,
                "code" => &mut back.code,
                "iss" => &mut back.issuer,
                "error" => &mut back.error,
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Self::default();
            }
        }
        back
    }

    /// The id that [`Provider::address`](super::Provider::address) was given, if this can be an answer to it at all.
    #[must_use]
    pub fn id(&self) -> Option<[u8; 16]> {
        self.halves().map(|(id, _)| id)
    }

    /// Id and secret, the halves of `state`.
    pub(super) fn halves(&self) -> Option<([u8; 16], [u8; 32])> {
        let bytes = URL_SAFE_NO_PAD.decode(self.state.as_deref()?).ok()?;
        let (id, secret) = bytes.split_at_checked(16)?;
        Some((id.try_into().ok()?, secret.try_into().ok()?))
    }

    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.code.as_deref().filter(|code| !code.is_empty())
    }

    /// Why the provider sent the person back, in its own word.
    pub(super) fn reason(&self) -> Option<&str> {
        let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
        self.error.as_deref().map(|error| {
            if error.len() <= 64 && error.bytes().all(plain) { error } else { "for a reason that is no word" }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whatever_else_providers_add_and_not_if_anything_is_said_twice() {
        let state = URL_SAFE_NO_PAD.encode([7; 48]);
        let back =
            Back::read(&format!("code=abc&state={state}&session_state=1&scope=openid+email&iss=https%3A%2F%2Fa"));
        assert_eq!(back.id(), Some([7; 16]));
        assert_eq!((back.code.as_deref(), back.issuer.as_deref()), (Some("abc"), Some("https://a")));
        for twice in [format!("state={state}&state={state}"), format!("state={state}&code=a&code=b")] {
            assert_eq!(Back::read(&twice).id(), None, "{twice}");
        }
        for wrong in ["", "state=", "state=AAAA", "state=%ff", "code=a"] {
            assert_eq!(Back::read(wrong).id(), None, "{wrong}");
        }
        assert!(!format!("{back:?}").contains("abc"));
    }

    #[test]
    fn a_reason_is_one_of_the_protocols_words_or_none() {
        assert_eq!(Back::read("error=access_denied").reason(), Some("access_denied"));
        assert_eq!(Back::read("error=%3Cscript%3E").reason(), Some("for a reason that is no word"));
        assert_eq!(Back::read("code=a").reason(), None);
    }
}
