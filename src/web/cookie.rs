//! Our cookies: their names, attributes and reading. Over https every one is `__Host-` and `Secure` (S-24); on plain
//! http over loopback browsers would drop such cookies, so the names are bare there.
//!
//! It must never set a `Domain`, and never log a value.

use axum::http::{HeaderMap, HeaderValue, header};
use std::fmt::Write as _;

/// The cookies we set. No others exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The session's secret.
    Session,
    /// Binds the forms of people who are not signed in yet to their browser (S-38).
    Form,
    /// The name of a one-time message.
    Note,
    /// What the browser is known by when somebody signs in (S-12).
    Device,
    /// The secret of the link in a mail that was followed last, for ten minutes (L-07).
    Mail,
}

/// How cookies look at this portal's address.
#[derive(Debug, Clone, Copy)]
pub struct Cookies {
    https: bool,
}

impl Cookies {
    #[must_use]
    pub fn new(https: bool) -> Self {
        Self { https }
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(self, cookie: Cookie) -> &'static str {
        match (cookie, self.https) {
            (Cookie::Session, true) => "__Host-countersign",
            (Cookie::Session, false) => "countersign",
            (Cookie::Form, true) => "__Host-countersign-form",
            (Cookie::Form, false) => "countersign-form",
            (Cookie::Note, true) => "__Host-countersign-note",
            (Cookie::Note, false) => "countersign-note",
            (Cookie::Device, true) => "__Host-countersign-device",
            (Cookie::Device, false) => "countersign-device",
            (Cookie::Mail, true) => "__Host-countersign-mail",
            (Cookie::Mail, false) => "countersign-mail",
        }
    }

    /// The value that came with the request.
    #[must_use]
    pub fn find(self, headers: &HeaderMap, cookie: Cookie) -> Option<&str> {
        let name = self.name(cookie);
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|line| line.to_str().ok())
            .flat_map(|l| l.split(';'))
            .find_map(|pair| {
                let (key, value) = pair.split_once('=')?;
                (key.trim() == name).then_some(value.trim())
            })
    }

    /// The header that sets `value`, gone when the browser closes or after `seconds`.
    #[must_use]
    pub fn set(self, cookie: Cookie, value: &str, seconds: Option<u32>) -> HeaderValue {
        let mut text = format!("{}={value}; Path=/; HttpOnly; SameSite=Lax", self.name(cookie));
        if let Some(seconds) = seconds {
            write!(text, "; Max-Age={seconds}").expect("writing to a string succeeds");
        }
        if self.https {
            text.push_str("; Secure");
        }
        HeaderValue::from_str(&text).expect("our cookie values are printable ASCII")
    }

    /// The header that removes the cookie.
    #[must_use]
    pub fn clear(self, cookie: Cookie) -> HeaderValue {
        self.set(cookie, "", Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_https_a_cookie_is_host_bound_secure_and_out_of_reach_of_script() {
        let set = Cookies::new(true).set(Cookie::Session, "abc", None);
        assert_eq!(set, "__Host-countersign=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
    }

    #[test]
    fn on_plain_loopback_the_name_is_bare() {
        let set = Cookies::new(false).set(Cookie::Session, "abc", Some(5));
        assert_eq!(set, "countersign=abc; Path=/; HttpOnly; SameSite=Lax; Max-Age=5");
    }

    #[test]
    fn ours_is_found_among_others_and_not_by_a_part_of_its_name() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("xcountersign=1; countersign-form=2"));
        headers.append(header::COOKIE, HeaderValue::from_static("a=b; countersign=3"));
        let cookies = Cookies::new(false);
        assert_eq!(cookies.find(&headers, Cookie::Session), Some("3"));
        assert_eq!(cookies.find(&headers, Cookie::Form), Some("2"));
        assert_eq!(cookies.find(&headers, Cookie::Note), None);
    }
}
