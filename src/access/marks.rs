//! Gates that ask for fresh proof of who decides (S-18): marked and lifted.

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::grants::Mistakes;
use super::right::{TAGS_LAST, Tagged};
use super::{Access, AccessError, lock_people, parse_note};
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::access::{GateFields, GatePattern};
use crate::domain::ids::{Gate, StepUpGateId};
use crate::store::access::marks::{self, Mark, NewMark};
use crate::store::access::tags;

impl Access {
    /// Every mark that holds, newest first.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list_marks(&self) -> Result<Vec<Mark>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(marks::list_live(&mut conn).await?)
    }

    /// Checks what was typed and marks nothing yet.
    ///
    /// # Errors
    /// [`AccessError::Unavailable`].
    pub fn check_mark(&self, gates: &GateFields, note: &str) -> Result<Result<GatePattern, Mistakes>, AccessError> {
        let mut mistakes = Mistakes::default();
        let gates = mistakes.take(GatePattern::parse(gates).map_err(AccessError::from))?;
        let note = mistakes.take(parse_note(note))?;
        Ok(gates.zip(note).map(|(gates, _)| gates).ok_or(mistakes))
    }

    /// From now on, deciding these gates asks for fresh proof.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn require_proof(&self, by: &By, gates: &GateFields, note: &str) -> Result<StepUpGateId, AccessError> {
        let (gates, note) = (GatePattern::parse(gates)?, parse_note(note)?);
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        let at = self.0.clock.now();
        let id = StepUpGateId(self.0.random.uuid_v7(at));
        marks::lock_alone(&mut tx).await?;
        marks::insert(&mut tx, &NewMark { id, gates: &gates, note: &note, at, given_by: by.account() }).await?;
        self.record(&mut tx, Kind::StepUpRequired, by, told(id, &gates, &note)).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// These gates ask for fresh proof no longer, unless another mark says so.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn lift(&self, by: &By, id: StepUpGateId) -> Result<(), AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        let live = marks::list_live(&mut tx).await?;
        let gone = AccessError::Gone("There is no such mark, or it was lifted already.");
        let Some(mark) = live.into_iter().find(|mark| mark.id == id) else { return Err(gone) };
        if !marks::mark_ended(&mut tx, id, self.0.clock.now(), by.account()).await? {
            return Err(gone);
        }
        self.record(&mut tx, Kind::StepUpLifted, by, told(id, &mark.gates, &mark.note)).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// What the marks ask of a decision at a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Nothing,
    Proof,
    /// A mark about tags may ask for it: ask AWS what the pipeline is tagged with, and try again.
    Tags,
}

/// Whether a page should ask for fresh proof at this gate. Where a mark hangs on tags, those that were read lately count; if
/// they were not, it asks: what cannot be read spares nobody the proof.
///
/// # Errors
/// Whatever the database says.
pub async fn may_ask(conn: &mut PgConnection, gate: &Gate, now: Timestamp) -> sqlx::Result<bool> {
    let marks = list_fitting(conn, gate).await?;
    if marks.is_empty() || marks.iter().any(|mark| mark.gates.tag.is_none()) {
        return Ok(!marks.is_empty());
    }
    let tags = tags::find(conn, (&gate.source, &gate.pipeline), now - TAGS_LAST).await?;
    Ok(marks.iter().any(|mark| tags.is_none() || mark.gates.fits(gate, tags.as_ref())))
}

/// What a decision needs, held until its transaction ends: a mark that is made meanwhile comes after it, and one that was
/// made before is seen (S-32). Tags count only as they were read for this decision.
///
/// # Errors
/// Whatever the database says.
pub async fn hold_asked(conn: &mut PgConnection, gate: &Gate, tagged: &Tagged) -> sqlx::Result<Asked> {
    marks::lock_shared(conn).await?;
    let marks = list_fitting(conn, gate).await?;
    let (about_tags, plain): (Vec<&Mark>, Vec<&Mark>) = marks.iter().partition(|mark| mark.gates.tag.is_some());
    Ok(match tagged {
        _ if !plain.is_empty() => Asked::Proof,
        _ if about_tags.is_empty() => Asked::Nothing,
        Tagged::Unasked => Asked::Tags,
        Tagged::Unreadable(_) => Asked::Proof,
        Tagged::Are(tags) if about_tags.iter().any(|mark| mark.gates.fits(gate, Some(tags))) => Asked::Proof,
        Tagged::Are(_) => Asked::Nothing,
    })
}

async fn list_fitting(conn: &mut PgConnection, gate: &Gate) -> sqlx::Result<Vec<Mark>> {
    let mut marks = marks::list_live(conn).await?;
    marks.retain(|mark| mark.gates.fits_names(gate));
    Ok(marks)
}

fn told(id: StepUpGateId, gates: &GatePattern, note: &str) -> Value {
    json!({ "mark": id, "gates": gates.to_string(), "pattern": gates.fields(), "note": note })
}
