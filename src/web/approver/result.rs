//! `GET /approvals/{id}/result/{decision}`: what became of a decision.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;

use super::result_view::ResultView;
use crate::domain::ids::{ApprovalId, DecisionId};
use crate::store::approvals;
use crate::web::{AppState, Failure, Segment, Shell};

/// The page. While the decision is not settled it loads itself again, without script too.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "approver/result.html")]
pub struct ResultPage {
    pub(super) shell: Shell,
    pub(super) view: ResultView,
    /// Nobody is signed in: it was decided by mail, and nothing of the portal is linked to.
    pub(super) by_mail: bool,
}

/// Shows the result.
///
/// # Errors
/// 404 when there is no such decision on this approval.
pub async fn show(
    State(app): State<AppState>,
    Segment((id, decision)): Segment<(ApprovalId, DecisionId)>,
    shell: Shell,
) -> Result<ResultPage, Failure> {
    Ok(ResultPage { view: load(&app, id, decision).await?, shell, by_mail: false })
}

/// What became of this decision on this approval.
///
/// # Errors
/// 404 when there is no such decision on this approval.
pub(super) async fn load(app: &AppState, id: ApprovalId, decision: DecisionId) -> Result<ResultView, Failure> {
    let decision = app.decisions.find(decision).await?.filter(|decision| decision.approval == id);
    let decision = decision.ok_or_else(Failure::not_found)?;
    let mut conn = app.database.reads.acquire().await?;
    let approval = approvals::find(&mut conn, id).await?.ok_or_else(Failure::not_found)?;
    Ok(ResultView::of(&decision, &approval, app.clock.now()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::decision::State as Life;
    use crate::web::approver::result_view::samples::decision;
    use crate::web::approver::samples::{known, now};
    use crate::web::display::assert_inert;

    fn page(state: Life) -> String {
        let view = ResultView::of(&decision(state), &known().approval, now());
        ResultPage { shell: Shell::bare("/"), view, by_mail: false }.render().unwrap()
    }

    #[test]
    fn every_state_names_its_record_and_lets_no_text_become_markup() {
        for state in Life::ALL {
            let html = page(*state);
            assert_inert(state.name(), &html);
            assert!(html.contains("<a href=\"/history/1234\">Record 1234</a>"), "{state}");
        }
    }

    #[test]
    fn only_an_accepted_decision_is_told_as_taken_effect() {
        for state in Life::ALL {
            let claims = page(*state).contains("Approved at AWS");
            assert_eq!(claims, *state == Life::Accepted, "{state}");
        }
    }

    #[test]
    fn the_page_looks_again_until_the_decision_is_settled() {
        for state in Life::ALL {
            assert_eq!(page(*state).contains("http-equiv=\"refresh\""), !state.is_final(), "{state}");
        }
    }
}
