//! `GET /approvals/{id}`: everything known about one approval, and the form to decide it.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use jiff::Timestamp;
use sqlx::PgConnection;

use super::approval_view::{ApprovalView, Known};
use super::deciding::{Deciding, Problem, ProofAsked};
use super::mailed::MailedForm;
use super::queue::late;
use super::trouble;
use super::who_may::WhoMay;
use crate::access::marks::may_ask;
use crate::access::unattended::{Foretold, Rules};
use crate::decisions::new_form_key;
use crate::domain::approval::AtAws;
use crate::domain::ids::ApprovalId;
use crate::domain::people::Person;
use crate::store::approvals::{self, Approval};
use crate::store::{queue, records};
use crate::web::{AppState, Failure, Segment, Shell, SignedIn};

/// The page, as it is read and as a refused decision shows it again.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "approver/approval.html")]
pub struct ApprovalPage {
    pub shell: Shell,
    pub view: ApprovalView,
    pub form: Deciding,
    pub problem: Option<Problem>,
    /// Where it was opened by a mail, and nobody is signed in.
    pub mailed: Option<MailedForm>,
}

/// Shows the approval as it was last seen.
///
/// # Errors
/// 404 when there is none of this id (S-31).
pub async fn show(
    State(app): State<AppState>,
    Segment((id,)): Segment<(ApprovalId,)>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<ApprovalPage, Failure> {
    let known = load_known(&app, id, &person).await?;
    let proof = load_proof(&app, &known, &person).await?;
    let form = Deciding::of(&known, &person, new_form_key(&app.random)).asking(proof);
    Ok(ApprovalPage { shell, view: ApprovalView::of(&known, app.clock.now()), form, problem: None, mailed: None })
}

/// Reads everything a page about this approval tells this person.
///
/// # Errors
/// 404 when there is none of this id.
pub async fn load_known(app: &AppState, id: ApprovalId, person: &Person) -> Result<Known, Failure> {
    let mut conn = app.database.reads.acquire().await?;
    read_known(app, &mut conn, id, person).await?.ok_or_else(Failure::not_found)
}

/// What this gate asks of this person beside a summary. None: nothing, or nothing can be decided.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn load_proof(app: &AppState, known: &Known, person: &Person) -> Result<Option<ProofAsked>, Failure> {
    if !known.standing().is_open() || !person.roles.may_decide() {
        return Ok(None);
    }
    let mut conn = app.database.reads.acquire().await?;
    if !may_ask(&mut conn, &known.approval.gate, app.clock.now()).await? {
        return Ok(None);
    }
    drop(conn);
    let signs = app.accounts.proofs(person).await?.passkey;
    Ok(Some(ProofAsked { signs, is_fresh: person.is_fresh(app.clock.now()) }))
}

async fn read_known(
    app: &AppState,
    conn: &mut PgConnection,
    id: ApprovalId,
    person: &Person,
) -> sqlx::Result<Option<Known>> {
    let Some(approval) = approvals::find(conn, id).await? else { return Ok(None) };
    let held = queue::find_holding(conn, id).await?;
    let earlier = records::list_earlier(conn, &approval.gate, id).await?;
    let sight = queue::find_sight(conn, &approval.gate.source, &approval.gate.pipeline).await?;
    let troubles = trouble::of(&sight, app.clock.now(), late(&app.config));
    let foretold = foretell(conn, &approval, app.clock.now()).await?;
    let who = WhoMay::read(app, conn, &approval.gate, person).await?;
    Ok(Some(Known { approval, live: held, earlier, troubles, is_configured: sight.configured, foretold, who }))
}

/// What the portal will do by itself with what waits.
async fn foretell(conn: &mut PgConnection, approval: &Approval, now: Timestamp) -> sqlx::Result<Foretold> {
    if approval.at_aws != AtAws::Open {
        return Ok(Foretold::Never);
    }
    let rules = Rules::load(conn, now).await?;
    rules.find_foretold(conn, approval, now).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::shown::Difference;
    use crate::web::approver::samples::{HOSTILE, all_known, person};
    use crate::web::display::assert_inert;

    fn page(known: &Known, role: &str) -> String {
        let form = Deciding::of(known, &person(role), "key".into()).with_typed(HOSTILE, Some(HOSTILE.into()));
        let problem =
            Problem::changed(vec![Difference { what: "Comment", was: HOSTILE.into(), is: HOSTILE.into() }], known);
        let view = ApprovalView::of(known, crate::web::approver::samples::now());
        ApprovalPage { shell: Shell::bare("/"), view, form, problem: Some(problem), mailed: None }.render().unwrap()
    }

    #[test]
    fn no_sample_of_an_approval_lets_text_from_outside_become_markup() {
        for (name, known) in all_known() {
            for role in ["approver", "auditor"] {
                // What the person typed goes back into the field as typed; only markup must not come of it.
                assert_inert(name, &page(&known, role).replace(['\u{202e}', '\u{0}', '\u{1b}'], ""));
            }
        }
    }

    #[test]
    fn each_button_says_what_it_will_do() {
        let say = |wanted: &str| {
            let (_, known) = all_known().into_iter().find(|(name, _)| *name == wanted).unwrap();
            ApprovalView::of(&known, crate::web::approver::samples::now())
        };
        assert_eq!(
            say("dull").if_approved,
            "Approve lets run 1a2b3c4d of shop go on to action Deploy of stage Production."
        );
        assert_eq!(
            say("dull").if_rejected,
            "Reject fails stage Production of run 1a2b3c4d of shop: nothing after this gate happens. Say why in the summary."
        );
        assert!(say("stopping").if_approved.ends_with("then stops, because a stop was asked for."));
        assert!(say("bare").if_approved.ends_with("complete: this gate is its last step."));
    }

    #[test]
    fn the_largest_approval_is_a_page_that_a_phone_can_load() {
        let (_, hostile) = all_known().into_iter().find(|(name, _)| *name == "hostile").unwrap();
        let size = page(&hostile, "approver").len();
        assert!(size < 200_000, "{size}");
    }
}
