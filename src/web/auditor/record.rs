//! `GET /history/{seq}`: one record, whole.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;

use super::record_view::RecordView;
use super::words;
use crate::store::records;
use crate::web::{AppState, Failure, Segment, Shell, SignedIn};

/// The page.
#[derive(Debug, Template, WebTemplate)]
#[template(path = "auditor/record.html")]
pub struct RecordPage {
    shell: Shell,
    view: RecordView,
}

/// Shows the record.
///
/// # Errors
/// 404 when there is none of this number, or none that this person may read (S-31).
pub async fn show(
    State(app): State<AppState>,
    Segment((seq,)): Segment<(i64,)>,
    SignedIn(person): SignedIn,
    shell: Shell,
) -> Result<RecordPage, Failure> {
    let mut conn = app.database.pages.acquire().await?;
    let record = records::find_record(&mut conn, seq).await?;
    let record = record.filter(|record| words::may_read(person.roles, &record.kind)).ok_or_else(Failure::not_found)?;
    let mut related = records::list_related(&mut conn, record.approval, record.decision).await?;
    drop(conn);
    related.retain(|step| words::may_read(person.roles, &step.kind));
    Ok(RecordPage { shell, view: RecordView::of(&record, &related, app.clock.now()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::records::{Record, Related};
    use crate::web::display::assert_inert;

    #[test]
    fn a_record_of_hostile_text_is_shown_as_text() {
        let hostile = "<img src=x onerror=alert(1)>\"\u{202e}<script>";
        let at = "2026-11-21T10:00:00Z".parse().unwrap();
        let payload =
            serde_json::json!({"summary": hostile, "shown": {"comment": {"text": hostile}}, hostile: [hostile]});
        let record = Record {
            seq: 9,
            at,
            prev: vec![0; 32],
            kind: hostile.into(),
            actor: hostile.into(),
            payload_hash: vec![0; 32],
            hash: vec![0; 32],
            payload: Some(serde_json::to_vec(&payload).unwrap()),
            approval: Some(uuid::Uuid::nil()),
            decision: None,
            before: None,
            actor_name: Some(hostile.into()),
        };
        let related = Related { seq: 8, at, kind: hostile.into(), outcome: None, decision: None };
        let view = RecordView::of(&record, &[related], at);
        assert_inert("record", &RecordPage { shell: Shell::bare("/history/9"), view }.render().unwrap());
        let erased = RecordView::of(&Record { payload: None, ..record }, &[], at);
        let html = RecordPage { shell: Shell::bare("/history/9"), view: erased }.render().unwrap();
        assert!(html.contains("was erased"), "{html}");
    }
}
