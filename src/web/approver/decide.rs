//! `POST /approvals/{id}/decision`: hands the form to `decisions`, waits a little for AWS's answer, and sends the person
//! to the result. Whatever is refused comes back as the page it came from, with what was typed.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::approval::{ApprovalPage, load_known, load_proof};
use super::approval_view::{ApprovalView, Known};
use super::deciding::{Deciding, Problem};
use crate::accounts::factors::decision::{DecisionAnswer, ToSign};
use crate::decisions::{Ask, Channel, DecideError, new_form_key};
use crate::domain::decision::Verdict;
use crate::domain::ids::{ApprovalId, DecisionId};
use crate::domain::people::{Approver, Person};
use crate::domain::shown::Fingerprint;
use crate::web::step_up::{self, Stopped};
use crate::web::{AppState, Approving, CsrfForm, Failure, Segment, Shell};

/// How long the answer of AWS is waited for before the result page tells what is known by then (D-04).
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The fields of the form.
#[derive(Debug, Deserialize)]
pub struct Filled {
    key: String,
    fingerprint: String,
    #[serde(default)]
    summary: String,
    verdict: String,
    /// What a passkey signed, where the gate asks for it.
    #[serde(default)]
    ceremony: String,
    #[serde(default)]
    credential: String,
}

/// Decides.
///
/// # Errors
/// 400 for a form that is not ours, 404 when there is no such approval.
pub async fn submit(
    State(app): State<AppState>,
    Segment((id,)): Segment<(ApprovalId,)>,
    Approving(approver): Approving,
    shell: Shell,
    form: CsrfForm<Filled>,
) -> Result<Response, Failure> {
    let filled = form.read();
    let ask = filled.ask(id)?;
    match app.decisions.decide(&approver, ask).await {
        Ok(decision) => Ok(to_result(&app, id, decision).await),
        Err(DecideError::StepUpNeeded { why }) => {
            let stopped = Stopped::form(&format!("/approvals/{id}/decision"), filled.kept());
            step_up::ask(&app, (shell, approver.person()), stopped, why.map(str::to_owned)).await
        }
        Err(refused) => refusal(&app, &approver, id, (shell, filled), refused).await,
    }
}

impl Filled {
    /// Everything but what a passkey signed: that counts once.
    fn kept(self) -> Vec<(String, String)> {
        let Self { key, fingerprint, summary, verdict, .. } = self;
        let fields = [("key", key), ("fingerprint", fingerprint), ("summary", summary), ("verdict", verdict)];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn ask(&self, approval: ApprovalId) -> Result<Ask, Failure> {
        let is_key = (16..=128).contains(&self.key.len()) && self.key.bytes().all(|b| b.is_ascii_alphanumeric());
        Ok(Ask {
            approval,
            fingerprint: Fingerprint::parse(&self.fingerprint).ok_or_else(not_ours)?,
            verdict: Verdict::from_name(&self.verdict).ok_or_else(not_ours)?,
            summary: self.summary.clone(),
            key: is_key.then(|| self.key.clone()).ok_or_else(not_ours)?,
            channel: Channel::Page,
            mail: None,
            proof: self
                .ceremony
                .parse()
                .ok()
                .filter(|_| !self.credential.is_empty())
                .map(|ceremony| DecisionAnswer { ceremony, answer: self.credential.clone() }),
        })
    }
}

/// What the page's script tells before it asks for a passkey.
#[derive(Debug, Deserialize)]
pub struct ToBeSigned {
    fingerprint: String,
    verdict: String,
}

/// `POST /approvals/{id}/challenge`, by the page's script: what a passkey is to sign.
///
/// # Errors
/// 400 for a form that is not ours, 404 without a passkey.
pub async fn challenge(
    State(app): State<AppState>,
    Segment((id,)): Segment<(ApprovalId,)>,
    Approving(approver): Approving,
    form: CsrfForm<ToBeSigned>,
) -> Result<Response, Failure> {
    let ToBeSigned { fingerprint, verdict } = form.read();
    let fingerprint = Fingerprint::parse(&fingerprint).ok_or_else(not_ours)?;
    let verdict = Verdict::from_name(&verdict).ok_or_else(not_ours)?;
    let decision = ToSign { approval: id, fingerprint, verdict };
    step_up::asked(app.accounts.ask_decision(approver.person(), decision).await?)
}

pub(super) fn not_ours() -> Failure {
    Failure::bad_request("This is not the form of an approval's page. Nothing was sent; reload the page.")
}

/// The approval as it is now, with what its person had typed, once they have proven who they are.
///
/// # Errors
/// 404 when there is no such approval.
pub async fn decide_again(
    app: &AppState,
    person: &Person,
    shell: Shell,
    (action, kept): (&str, &[(String, String)]),
) -> Result<Response, Failure> {
    let id = action.split('/').nth(2).and_then(|id| id.parse().ok()).ok_or_else(Failure::not_found)?;
    let known = load_known(app, id, person).await?;
    let summary = kept.iter().find(|(name, _)| name == "summary").map_or("", |(_, value)| value.as_str());
    let proof = load_proof(app, &known, person).await?;
    let form = Deciding::of(&known, person, new_form_key(&app.random)).asking(proof).with_typed(summary, None);
    let problem = Problem::new(
        "You have proven that it is you. Nothing was sent yet.",
        "Below is what waits now, with what you wrote kept. Read it again and press the button.",
    );
    let view = ApprovalView::of(&known, app.clock.now());
    Ok(ApprovalPage { shell, view, form, problem: Some(problem), mailed: None }.into_response())
}

async fn to_result(app: &AppState, id: ApprovalId, decision: DecisionId) -> Response {
    // The intent is committed, so the result page has something to tell even if waiting fails.
    if let Err(error) = app.decisions.await_answer(decision, PATIENCE).await {
        tracing::warn!(%error, %decision, "could not wait for the answer");
    }
    Redirect::to(&format!("/approvals/{id}/result/{decision}")).into_response()
}

/// Shows the page again, saying why nothing was sent.
async fn refusal(
    app: &AppState,
    by: &Approver,
    id: ApprovalId,
    (shell, filled): (Shell, Filled),
    refused: DecideError,
) -> Result<Response, Failure> {
    let known = match refused {
        // The database has just kept them waiting; asking it for the page would keep them twice as long.
        DecideError::Unavailable => return Err(unrecorded(id)),
        DecideError::Unknown => return Err(unknown(id)),
        _ => load_known(app, id, by.person()).await?,
    };
    let (status, problem, at_field) = explain(refused, &known)?;
    let proof = load_proof(app, &known, by.person()).await?;
    let form = Deciding::of(&known, by.person(), new_form_key(&app.random)).asking(proof);
    let form = form.with_typed(&filled.summary, at_field);
    let view = ApprovalView::of(&known, app.clock.now());
    Ok((status, ApprovalPage { shell, view, form, problem, mailed: None }).into_response())
}

/// Status, what the top of the page says, and what is said at the field.
pub(super) type Told = (StatusCode, Option<Problem>, Option<String>);

pub(super) fn explain(refused: DecideError, known: &Known) -> Result<Told, Failure> {
    let told = match refused {
        DecideError::BadSummary(bad) => (StatusCode::UNPROCESSABLE_ENTITY, None, Some(bad.to_string())),
        DecideError::Changed { differences, .. } => {
            (StatusCode::CONFLICT, Some(Problem::changed(differences, known)), None)
        }
        DecideError::NotOpen { standing, .. } => (StatusCode::CONFLICT, Some(Problem::not_open(standing, known)), None),
        DecideError::AlreadyDeciding { decision, by, verdict } => {
            let by = crate::domain::text::visible(&by);
            let mut problem = Problem::new(
                format!("{by} has already {verdict} this. Nothing of yours was sent."),
                "One decision at a time is on its way to AWS, and it is theirs.",
            );
            let result = format!("/approvals/{}/result/{decision}", known.approval.id);
            problem.next = Some(("See what becomes of it".to_owned(), result));
            (StatusCode::CONFLICT, Some(problem), None)
        }
        DecideError::KeyReused => {
            let problem = Problem::new(
                "This form was sent before, with something else in it. Nothing was sent now.",
                "What you wrote is kept below. If you still mean it, press the button again.",
            );
            (StatusCode::UNPROCESSABLE_ENTITY, Some(problem), None)
        }
        DecideError::Unreadable(why) => {
            let problem = Problem::new(
                "AWS could not be read just now, so this time nothing was sent.",
                format!(
                    "A decision is only sent after a fresh look at what waits. The reason: {why}. Try again in a moment."
                ),
            );
            (StatusCode::SERVICE_UNAVAILABLE, Some(problem), None)
        }
        DecideError::NoSuchApproval => return Err(Failure::not_found()),
        DecideError::NotAllowed(why) => {
            let why = crate::domain::text::visible(&why);
            let headline = "You may not decide this, so this time nothing was sent.";
            let ask = known.who.whom_to_ask();
            (StatusCode::FORBIDDEN, Some(Problem::new(headline, format!("{why} {ask}"))), None)
        }
        // Only where nobody is signed in does it come this far.
        DecideError::MailSpent => {
            let problem = Problem::new(
                "The mail decides nothing any more. Nothing was sent.",
                "It was used meanwhile, its time is over, or this gate takes no mails any more. Sign in to decide.",
            );
            (StatusCode::CONFLICT, Some(problem), None)
        }
        DecideError::StepUpNeeded { .. } => {
            return Err(Failure::forbidden("This gate asks for fresh proof that it is you."));
        }
        DecideError::Unavailable => return Err(unrecorded(known.approval.id)),
        DecideError::Unknown => return Err(unknown(known.approval.id)),
    };
    Ok(told)
}

/// The form's own key is still in the person's browser: going back and pressing the button again counts once, whatever
/// became of an earlier post of it.
fn unrecorded(id: ApprovalId) -> Failure {
    Failure::unavailable(Duration::from_secs(2))
        .saying(
            "The database does not answer just now, so this time the decision was not recorded and will not be sent. Go \
             back and press the button again in a moment: the same form counts once, however often it is sent.",
        )
        .with_next("Back to the approval", format!("/approvals/{id}"))
}

fn unknown(id: ApprovalId) -> Failure {
    Failure::unavailable(Duration::from_secs(2))
        .saying(
            "The database was cut off while it recorded your decision, so it is not known whether it was. If it was, it \
             will be sent to AWS by itself; if not, nothing will. To find out, go back and press the same button again: the \
             same form counts once, however often it is sent. Or look at the approval.",
        )
        .with_next("Look at the approval", format!("/approvals/{id}"))
}
