//! A link that opens an account, shown to the admin who had it made: once, on the answer to their own click. It is kept
//! nowhere in the clear, so it cannot be shown again; a new one takes its place.

use askama::Template;
use askama_web::WebTemplate;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::domain::text::visible;
use crate::web::Shell;
use crate::web::parts::Moment;

/// What a link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    Invitation,
    Reset,
}

#[derive(Template, WebTemplate)]
#[template(path = "admin/link.html")]
struct LinkPage {
    shell: Shell,
    heading: &'static str,
    what: &'static str,
    email: String,
    /// Absent where it went to the person by mail and is nobody else's.
    link: Option<String>,
    expires: Moment,
    mailed: bool,
    back: String,
}

/// The page.
pub(super) fn show(
    shell: Shell,
    opens: Opens,
    (email, back): (&str, String),
    (link, expires_at, mailed): (Option<&SecretString>, Timestamp, bool),
    now: Timestamp,
) -> Response {
    let (heading, what) = match opens {
        Opens::Invitation => {
            ("They are invited", "Whoever has this link becomes this person. It works once, for 24 hours.")
        }
        Opens::Reset => (
            "A reset is started",
            "Whoever has this link can choose this person's password. It works once, for an hour; then every session of theirs ends.",
        ),
    };
    let page = LinkPage {
        shell,
        heading,
        what,
        email: visible(email),
        link: link.map(|link| link.expose_secret().to_owned()),
        expires: Moment::new(expires_at, now),
        mailed,
        back,
    };
    page.into_response()
}
