//! Groups that are told when nobody decides: made and ended. Being told lets nobody decide anything.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::grants::{Mistakes, find_group};
use super::{Access, AccessError, bad, lock_people, parse_note};
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::access::{GateFields, GatePattern};
use crate::domain::ids::{EscalationId, GroupId};
use crate::store::access::escalations::{self, After, Escalation, NewEscalation};
use crate::store::access::groups;

/// The longest that can be asked for: AWS lets nothing wait for longer than sixty days, and half of that is half time.
const LONGEST: i32 = 43_200;

/// An escalation as somebody typed it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub group: String,
    /// Minutes; empty is half of the time.
    pub after: String,
    pub gates: GateFields,
    pub note: String,
}

/// The same, checked, with its group found.
#[derive(Debug, Clone)]
pub struct Checked {
    pub group: GroupId,
    pub group_name: String,
    pub after: After,
    pub gates: GatePattern,
    pub note: String,
}

impl Access {
    /// Every escalation that holds, newest first.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list_escalations(&self) -> Result<Vec<Escalation>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(escalations::list_live(&mut conn).await?)
    }

    /// Checks what was typed and makes nothing yet. Every mistake is told, not only the first.
    ///
    /// # Errors
    /// [`AccessError::Unavailable`].
    pub async fn check_escalation(&self, asked: &Asked) -> Result<Result<Checked, Mistakes>, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        check(&mut conn, asked).await
    }

    /// From now on this group is told when nobody decides these gates; also of what waits already.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn escalate(&self, by: &By, asked: &Asked) -> Result<EscalationId, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        let Checked { group, after, gates, note, .. } = match check(&mut tx, asked).await? {
            Ok(checked) => checked,
            Err(mistakes) => {
                let (field, problem) = mistakes.0.into_iter().next().expect("what is wrong was said");
                return Err(bad(field, problem));
            }
        };
        let locked = groups::lock(&mut tx, group).await?.ok_or(AccessError::Gone("There is no such group."))?;
        let at = self.0.clock.now();
        let id = EscalationId(self.0.random.uuid_v7(at));
        let new = NewEscalation { id, group, gates: &gates, after, note: &note, at, given_by: by.account() };
        escalations::insert(&mut tx, &new).await?;
        let fields = told(id, (group, &locked.name), after, &gates, &note);
        self.record(&mut tx, Kind::EscalationMade, by, fields).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// This group is told no longer, also not of what it was about to be told.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn end_escalation(&self, by: &By, id: EscalationId) -> Result<(), AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        let live = escalations::list_live(&mut tx).await?;
        let gone = AccessError::Gone("There is no such escalation, or it has ended already.");
        let Some(one) = live.into_iter().find(|one| one.id == id) else { return Err(gone) };
        if !escalations::mark_ended(&mut tx, id, self.0.clock.now(), by.account()).await? {
            return Err(gone);
        }
        let fields = told(id, (one.group, &one.group_name), one.after, &one.gates, &one.note);
        self.record(&mut tx, Kind::EscalationEnded, by, fields).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn check(conn: &mut PgConnection, asked: &Asked) -> Result<Result<Checked, Mistakes>, AccessError> {
    let mut mistakes = Mistakes::default();
    let group = mistakes.take(find_group(conn, &asked.group).await)?;
    let after = mistakes.take(parse_after(&asked.after))?;
    let gates = mistakes.take(GatePattern::parse(&asked.gates).map_err(AccessError::from))?;
    let note = mistakes.take(parse_note(&asked.note))?;
    Ok(match (group, after, gates, note) {
        (Some((group, group_name)), Some(after), Some(gates), Some(note)) => {
            Ok(Checked { group, group_name, after, gates, note })
        }
        _ => Err(mistakes),
    })
}

fn parse_after(typed: &str) -> Result<After, AccessError> {
    let typed = typed.trim();
    if typed.is_empty() {
        return Ok(After::HalfTime);
    }
    let is_number = typed.bytes().all(|byte| byte.is_ascii_digit());
    let minutes = typed.parse::<i32>().ok().filter(|minutes| is_number && (1..=LONGEST).contains(minutes));
    let wrong = || bad("after", format!("Give whole minutes from 1 to {LONGEST}, or leave it empty."));
    minutes.map(After::Minutes).ok_or_else(wrong)
}

fn told(id: EscalationId, (group, name): (GroupId, &str), after: After, gates: &GatePattern, note: &str) -> Value {
    let after = match after {
        After::Minutes(minutes) => json!(minutes),
        After::HalfTime => json!("half of the time"),
    };
    json!({
        "escalation": id, "group": group, "name": name, "after_minutes": after,
        "gates": gates.to_string(), "pattern": gates.fields(), "note": note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_whole_and_within_what_aws_lets_wait() {
        assert_eq!(parse_after("  ").unwrap(), After::HalfTime);
        assert_eq!(parse_after(" 30 ").unwrap(), After::Minutes(30));
        assert_eq!(parse_after("43200").unwrap(), After::Minutes(LONGEST));
        for typed in ["0", "-5", "+5", "1.5", "43201", "30m", "99999999999", "٣"] {
            assert!(parse_after(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn when_a_group_is_told_goes_by_the_opening_and_the_deadline() {
        let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        let (opened, expires) = (at("2026-11-21T08:00:00Z"), at("2026-11-21T18:00:00Z"));
        assert_eq!(After::HalfTime.of(opened, expires), at("2026-11-21T13:00:00Z"));
        assert_eq!(After::Minutes(30).of(opened, expires), at("2026-11-21T08:30:00Z"));
        assert_eq!(After::Minutes(LONGEST).of(jiff::Timestamp::MAX, jiff::Timestamp::MAX), jiff::Timestamp::MAX);
    }
}
