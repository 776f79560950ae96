//! The form behind a mail's link, where its gate is decided from mail: a verdict that is chosen here, and the six digits from
//! the mail's text. Whatever is refused comes back as the page it came from, with what was typed.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Deserialize;

use super::{LeftPage, Shown, WayPage, page_of, refuse_without_right, to_result};
use crate::decisions::{Ask, Channel, DecideError, new_form_key};
use crate::domain::decision::Verdict;
use crate::domain::ids::MailedLinkId;
use crate::domain::mailed::{LinkSecret, MailCode, ShownByMail};
use crate::domain::people::Approver;
use crate::domain::shown::Fingerprint;
use crate::domain::text::visible;
use crate::mailed::{GoodFor, Living, MOST_WRONG, NoLink, Way};
use crate::store::mailed_links::Tried;
use crate::web::approver::approval::{ApprovalPage, load_known};
use crate::web::approver::approval_view::{ApprovalView, Known};
use crate::web::approver::decide::{PATIENCE, explain, not_ours};
use crate::web::approver::deciding::{Deciding, Problem};
use crate::web::parts::{Field, Moment};
use crate::web::session::dead_link;
use crate::web::{AppState, CsrfForm, Failure, Segment, Shell};

/// What the code from a mail proves, in records.
const PROOF: &str = "mail";

/// What an approval's page holds beside its usual form, where a mail opened it.
#[derive(Debug)]
pub struct MailedForm {
    /// Where the page is, and its form goes.
    pub here: String,
    /// To whom the mail was written: as them it is decided.
    pub name: String,
    pub until: Moment,
    /// What was chosen, when the page is shown again.
    pub verdict: String,
    pub verdict_error: Option<&'static str>,
    pub code: Field,
}

/// What was typed, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Typed {
    summary: String,
    code: String,
    verdict: String,
    problem: Option<Problem>,
    at_summary: Option<String>,
    at_verdict: Option<&'static str>,
    at_code: Option<String>,
}

/// The approval's page, with the form for who came by a mail.
pub(super) fn page(
    app: &AppState,
    shell: Shell,
    (known, found, until): (&Known, &Living, Timestamp),
    typed: Typed,
) -> ApprovalPage {
    let now = app.clock.now();
    let person = &found.link.person;
    let form = Deciding::of(known, person, new_form_key(&app.random)).with_typed(&typed.summary, typed.at_summary);
    let is_wrong = typed.at_code.is_some();
    let code = Field::text("code", "Code from the mail")
        .digits()
        .value(typed.code)
        .error(typed.at_code)
        .focused(is_wrong)
        .hint("Six digits, in the text of the mail that brought you here. They show that you can read it.");
    let name = visible(&person.name);
    let (verdict, verdict_error) = (typed.verdict, typed.at_verdict);
    let here = page_of(found.link.id);
    let mailed = MailedForm { here, name, until: Moment::new(until, now), verdict, verdict_error, code };
    let view = ApprovalView::of(known, now);
    ApprovalPage { shell, view, form, problem: typed.problem, mailed: Some(mailed) }
}

/// The fields of the form.
#[derive(Debug, Deserialize)]
pub struct Filled {
    key: String,
    fingerprint: String,
    #[serde(default)]
    summary: String,
    #[serde(default)]
    verdict: String,
    #[serde(default)]
    code: String,
}

impl Filled {
    fn ask(&self, found: &Living, verdict: Verdict, shown: ShownByMail) -> Result<Ask, Failure> {
        let is_key = (16..=128).contains(&self.key.len()) && self.key.bytes().all(|b| b.is_ascii_alphanumeric());
        Ok(Ask {
            approval: found.link.approval,
            fingerprint: Fingerprint::parse(&self.fingerprint).ok_or_else(not_ours)?,
            verdict,
            summary: self.summary.clone(),
            key: is_key.then(|| self.key.clone()).ok_or_else(not_ours)?,
            channel: Channel::Link,
            proof: None,
            mail: Some(shown),
        })
    }
}

/// `POST /link/{id}`: decides, with the code from the mail.
///
/// # Errors
/// 400 for a form that is not ours, 404 for every link that does not work, 429 for who tries too many.
pub async fn decide(
    State(app): State<AppState>,
    Segment((id,)): Segment<(MailedLinkId,)>,
    shown: Shown,
    shell: Shell,
    form: CsrfForm<Filled>,
) -> Result<Response, Failure> {
    let filled = form.read();
    // Of the mail that opened this page, whatever was opened since.
    let Some(secret) = shown.find(&app, id).await? else {
        return Ok((StatusCode::NOT_FOUND, LeftPage { shell, summary: filled.summary }).into_response());
    };
    let answer = Box::pin(decide_with(&app, (id, &secret, shown.address), shell, filled)).await?;
    Ok(shown.keep(&app, answer))
}

/// A link, with its secret, and where it was shown from.
type Link<'a> = (MailedLinkId, &'a LinkSecret, IpAddr);

async fn decide_with(app: &AppState, link: Link<'_>, shell: Shell, filled: Filled) -> Result<Response, Failure> {
    let (id, secret, address) = link;
    // The second click of the same form, or the same mail once more (L-05).
    let mut found = match app.mailed.find_way(secret, address).await? {
        Way::Living(found) => *found,
        Way::Decided => return Ok(to_result(id)),
    };
    let GoodFor::Deciding { until } = found.good_for else {
        let page = WayPage::new(app, shell, &found, found.good_for, &filled.summary);
        return Ok((StatusCode::CONFLICT, page).into_response());
    };
    refuse_without_right(&load_known(app, found.link.approval, &found.link.person).await?)?;
    let (verdict, code) = match check(app, secret, &found, &filled).await? {
        Ok(right) => right,
        Err(Wrong::Refused(refused)) => return told(app, link, shell, (filled, refused)).await,
        Err(wrong) => return again(app, shell, (found, until), (filled, wrong)).await,
    };
    found.link.person.factor = Some(PROOF.to_owned());
    found.link.person.proven_by = Some(PROOF.to_owned());
    let approver = Approver::of(&found.link.person).ok_or(NoLink::Dead)?;
    let ask = filled.ask(&found, verdict, ShownByMail::of(secret, &code))?;
    match app.decisions.decide(&approver, ask).await {
        Ok(decision) => {
            // The intent is committed, so the result page has something to tell even if waiting fails.
            if let Err(error) = app.decisions.await_answer(decision, PATIENCE).await {
                tracing::warn!(%error, %decision, "could not wait for the answer");
            }
            Ok(to_result(id))
        }
        Err(DecideError::Unavailable) => Err(unrecorded(id, false)),
        Err(DecideError::Unknown) => Err(unrecorded(id, true)),
        Err(refused) => told(app, link, shell, (filled, refused)).await,
    }
}

/// What is told of a refusal, by what the link is good for by now: another window may have used it a moment ago.
async fn told(
    app: &AppState,
    (id, secret, address): Link<'_>,
    shell: Shell,
    (filled, refused): (Filled, DecideError),
) -> Result<Response, Failure> {
    let found = match app.mailed.find_way(secret, address).await? {
        Way::Living(found) => *found,
        Way::Decided => return Ok(to_result(id)),
    };
    match found.good_for {
        GoodFor::Deciding { until } => again(app, shell, (found, until), (filled, Wrong::Refused(refused))).await,
        good_for => {
            let page = WayPage::new(app, shell, &found, good_for, &filled.summary);
            Ok((StatusCode::CONFLICT, page).into_response())
        }
    }
}

/// Why nothing was decided.
enum Wrong {
    NoVerdict,
    Code(String),
    Refused(DecideError),
}

/// What was chosen, and the code that was typed if it is the mail's. A form without a verdict or without a code costs no try:
/// scanners send forms as they find them (F-38).
async fn check(
    app: &AppState,
    secret: &LinkSecret,
    found: &Living,
    filled: &Filled,
) -> Result<Result<(Verdict, MailCode), Wrong>, Failure> {
    let Some(verdict) = Verdict::from_name(&filled.verdict) else {
        app.mailed.count_form_without_code();
        return Ok(Err(Wrong::NoVerdict));
    };
    let Some(code) = MailCode::read(&filled.code) else {
        app.mailed.count_form_without_code();
        let text = "Type the six digits from the mail's text. Nothing was sent.";
        return Ok(Err(Wrong::Code(text.to_owned())));
    };
    let left = match app.mailed.try_code(ShownByMail::of(secret, &code)).await? {
        Tried::Right => return Ok(Ok((verdict, code))),
        Tried::Spent => return Ok(Err(Wrong::Refused(DecideError::MailSpent))),
        Tried::Wrong(wrong) => MOST_WRONG - wrong,
    };
    app.decisions.record_wrong_code(&found.link, left).await;
    match left {
        ..=0 => Err(dead_link(
            "That was not the code, for the fifth time, so this link works no more. Nothing was sent. Sign in to decide.",
        )),
        1 => Ok(Err(Wrong::Code("This is not the code in that mail. One try is left. Nothing was sent.".to_owned()))),
        _ => {
            Ok(Err(Wrong::Code(format!("This is not the code in that mail. {left} tries are left. Nothing was sent."))))
        }
    }
}

/// The page again, with what was typed and what was wrong.
async fn again(
    app: &AppState,
    shell: Shell,
    (found, until): (Living, Timestamp),
    (filled, wrong): (Filled, Wrong),
) -> Result<Response, Failure> {
    let known = load_known(app, found.link.approval, &found.link.person).await?;
    let Filled { summary, verdict, code, .. } = filled;
    let mut typed = Typed { summary, verdict, code, ..Typed::default() };
    let status = match wrong {
        Wrong::NoVerdict => {
            typed.at_verdict = Some("Choose Approve or Reject. Nothing was sent.");
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Wrong::Code(text) => {
            typed.at_code = Some(text);
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Wrong::Refused(refused) => {
            let (status, problem, at_summary) = explain(refused, &known)?;
            typed.problem = problem;
            typed.at_summary = at_summary;
            status
        }
    };
    Ok((status, page(app, shell, (&known, &found, until), typed)).into_response())
}

/// The form's own key is still in the person's browser: going back and pressing the button again counts once.
fn unrecorded(id: MailedLinkId, perhaps: bool) -> Failure {
    let text = if perhaps {
        "The database was cut off while it recorded your decision, so it is not known whether it was. To find out, go back \
         and press the same button again: the same form counts once, however often it is sent."
    } else {
        "The database does not answer just now, so this time the decision was not recorded and will not be sent. Go back \
         and press the button again in a moment: the same form counts once, however often it is sent."
    };
    Failure::unavailable(std::time::Duration::from_secs(2)).saying(text).with_next("Back to the approval", page_of(id))
}
