//! The link in a mail about an approval (L-01 to L-09). Following it, however often and by whomever, changes nothing: the
//! code in the address goes into a cookie for ten minutes, and the browser on to an address without it. Who is signed in goes
//! on to the approval with their own rights. Who is not sees for whom the mail is, and signs in; or, where the gate takes
//! mails, reads everything, chooses the verdict here, and types the code from the mail's text.

mod form;

use askama::Template;
use askama_web::WebTemplate;
use std::net::IpAddr;

use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::approval::load_known;
use super::approval_view::Known;
use super::result::{self, ResultPage};
use super::who_may::May;
use crate::domain::ids::MailedLinkId;
use crate::domain::mailed::LinkSecret;
use crate::domain::text::visible;
use crate::mailed::{GoodFor, Living, NoLink, NoLonger, Way};
use crate::web::cookie::Cookie;
use crate::web::extract::MaybeSignedIn;
use crate::web::layers::Client;
use crate::web::note::Note;
use crate::web::parts::Moment;
use crate::web::session::{Nothing, dead_link};
use crate::web::{AppState, CsrfForm, Failure, Segment, Shell};

pub use form::{MailedForm, decide};

/// How long the code stays in the browser's cookie, in seconds (L-07).
const KEPT: u32 = 600;
/// So many links one browser can have open at once.
const MOST: usize = 8;

/// What came with the request: the secrets of the links that this browser followed, the newest first, and where from.
pub struct Shown {
    secrets: Vec<LinkSecret>,
    address: IpAddr,
}

impl FromRequestParts<AppState> for Shown {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Failure> {
        let cookie = app.cookies().find(&parts.headers, Cookie::Mail).unwrap_or_default();
        let secrets = cookie.split('.').filter(|text| !text.is_empty()).take(MOST).map(LinkSecret::read).collect();
        Ok(Self { secrets, address: Client::of(&parts.extensions) })
    }
}

impl Shown {
    /// The secret of this very link: each page is about the mail that opened it, whatever was opened since.
    async fn find(&self, app: &AppState, id: MailedLinkId) -> Result<Option<LinkSecret>, Failure> {
        Ok(app.mailed.find_secret(id, &self.secrets).await?.cloned())
    }

    /// The same, or one that nobody has, which is looked for like any other (L-08).
    async fn find_or_none(&self, app: &AppState, id: MailedLinkId) -> Result<LinkSecret, Failure> {
        Ok(self.find(app, id).await?.unwrap_or_else(|| LinkSecret::read("")))
    }

    /// Keeps the secrets for ten more minutes.
    fn keep(&self, app: &AppState, mut response: Response) -> Response {
        let texts: Vec<_> = self.secrets.iter().map(|secret| secret.text().expose_secret().to_owned()).collect();
        if !texts.is_empty() {
            let cookie = app.cookies().set(Cookie::Mail, &Zeroizing::new(texts.join(".")), Some(KEPT));
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
        response
    }
}

/// The page of a link.
fn page_of(id: MailedLinkId) -> String {
    format!("/link/{id}")
}

impl From<NoLink> for Failure {
    fn from(none: NoLink) -> Self {
        match none {
            NoLink::Dead => dead_link(
                "This link does not work, or does so no longer: the approval was decided or has changed, the mail is too old, \
                 or its page was left alone for more than ten minutes. Open the link in the mail again, or sign in to see what \
                 waits.",
            ),
            NoLink::TooMany { retry_after } => Self::too_many(retry_after),
            NoLink::Database(error) => Self::from(error).before_anything(),
        }
    }
}

/// `GET /l/{code}`: into the cookie with it, and on to an address that says nothing.
///
/// # Errors
/// 404 for every link that does not work, 429 for who tries too many.
pub async fn follow(
    State(app): State<AppState>,
    Segment((code,)): Segment<(String,)>,
    mut shown: Shown,
) -> Result<Response, Failure> {
    let secret = LinkSecret::read(SecretString::from(code).expose_secret());
    let found = app.mailed.find(&secret, shown.address).await?;
    shown.secrets.retain(|other| other.hash() != secret.hash());
    shown.secrets.insert(0, secret);
    shown.secrets.truncate(MOST);
    Ok(shown.keep(&app, Redirect::to(&page_of(found.link.id)).into_response()))
}

/// `GET /link/{id}`: a link that this browser followed.
///
/// # Errors
/// 404 for every link that does not work, 429 for who tries too many.
pub async fn show(
    State(app): State<AppState>,
    MaybeSignedIn(visitor): MaybeSignedIn,
    Segment((id,)): Segment<(MailedLinkId,)>,
    shown: Shown,
    shell: Shell,
) -> Result<Response, Failure> {
    let secret = shown.find_or_none(&app, id).await?;
    let found = match app.mailed.find_way(&secret, shown.address).await? {
        Way::Living(found) => *found,
        Way::Decided => return Ok(to_result(id)),
    };
    let approval = format!("/approvals/{}", found.link.approval);
    match visitor {
        // With their own rights, whoever it is (L-09).
        Some(person) if person.account == found.link.person.account => Ok(Redirect::to(&approval).into_response()),
        Some(_) => Ok(Note::MailedToAnother.at(&approval, app.cookies())),
        None => match found.good_for {
            GoodFor::Deciding { until } => {
                let known = load_known(&app, found.link.approval, &found.link.person).await?;
                refuse_without_right(&known)?;
                let page = form::page(&app, shell, (&known, &found, until), form::Typed::default());
                Ok(shown.keep(&app, page.into_response()))
            }
            good_for => Ok(shown.keep(&app, WayPage::new(&app, shell, &found, good_for, "").into_response())),
        },
    }
}

/// Another mail in place of one whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Renewal {
    Offered,
    Asked,
}

/// Where a mail only leads to the approval, or does no more than that by now.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "approver/mailed.html")]
struct WayPage {
    shell: Shell,
    /// Where this page is.
    here: String,
    name: String,
    mailed: Moment,
    /// Where signing in leads on to the approval.
    sign_in: String,
    over: Option<Moment>,
    withdrawn: bool,
    /// Whether a fresh mail can be asked for, or was.
    renewal: Option<Renewal>,
    /// What was written already, when the time ran out over it.
    summary: String,
}

impl WayPage {
    fn new(app: &AppState, shell: Shell, found: &Living, good_for: GoodFor, summary: &str) -> Self {
        let now = app.clock.now();
        let over = match good_for {
            GoodFor::OnlyOpening(NoLonger::Over(at)) => Some(Moment::new(at, now)),
            _ => None,
        };
        Self {
            shell,
            here: page_of(found.link.id),
            name: visible(&found.link.person.name),
            mailed: Moment::new(found.link.mailed_at, now),
            sign_in: format!("/sign-in?return=%2Fapprovals%2F{}", found.link.approval),
            over,
            withdrawn: good_for == GoodFor::OnlyOpening(NoLonger::Withdrawn),
            renewal: match good_for {
                GoodFor::OnlyOpening(NoLonger::Over(_)) if found.link.is_renewed => Some(Renewal::Asked),
                GoodFor::OnlyOpening(NoLonger::Over(_)) if app.accounts.sends_mail() => Some(Renewal::Offered),
                _ => None,
            },
            summary: summary.to_owned(),
        }
    }
}

/// Somebody who may not decide this any more has lost what the mail was for (L-04).
fn refuse_without_right(known: &Known) -> Result<(), Failure> {
    match known.who.may {
        May::Yes | May::For(_) => Ok(()),
        May::No | May::NotKnown => Err(NoLink::Dead.into()),
    }
}

fn to_result(id: MailedLinkId) -> Response {
    Redirect::to(&format!("/link/{id}/result")).into_response()
}

/// `POST /link/{id}/renew`: a fresh mail to the same person, once for each link.
///
/// # Errors
/// 404 for every link that does not work, 429 for who tries too many.
pub async fn renew(
    State(app): State<AppState>,
    Segment((id,)): Segment<(MailedLinkId,)>,
    shown: Shown,
    _form: CsrfForm<Nothing>,
) -> Result<Response, Failure> {
    let secret = shown.find_or_none(&app, id).await?;
    let found = app.mailed.find(&secret, shown.address).await?;
    if matches!(found.good_for, GoodFor::OnlyOpening(NoLonger::Over(_))) && !found.link.is_renewed {
        app.notices.renew(&found.link).await?;
    }
    Ok(Redirect::to(&page_of(id)).into_response())
}

/// `GET /link/{id}/result`: what became of what was decided by the mail.
///
/// # Errors
/// 404 where nothing was.
pub async fn result(
    State(app): State<AppState>,
    Segment((id,)): Segment<(MailedLinkId,)>,
    shown: Shown,
    shell: Shell,
) -> Result<Response, Failure> {
    let secret = shown.find_or_none(&app, id).await?;
    let Some((approval, decision)) = app.mailed.find_decision(&secret).await? else {
        return Err(app.mailed.refuse(shown.address).into());
    };
    let page = ResultPage { view: result::load(&app, approval, decision).await?, shell, by_mail: true };
    Ok(shown.keep(&app, page.into_response()))
}

/// What is told who sends a form of a page that was left alone for too long: nothing of the link, and what they wrote.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "approver/mail_left.html")]
struct LeftPage {
    shell: Shell,
    summary: String,
}
