//! What holds of some gates and not of others: given and ended by admins. That a mail is enough to decide (L-02); that the portal
//! rejects what nobody decides ([`super::unattended`]).

use jiff::Timestamp;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::grants::Mistakes;
use super::marks::may_ask;
use super::right::{TAGS_LAST, Tagged};
use super::{Access, AccessError, bad, lock_people, parse_note};
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::access::{GateFields, GatePattern, OptionKind, Tags};
use crate::domain::ids::{Gate, GateOptionId};
use crate::store::access::options::{self, GateOption, NewOption, UnknownOption};
use crate::store::access::{marks, tags};

/// How many minutes are offered: an hour.
pub const USUAL_MINUTES: i32 = 60;

/// An option as it was typed and found good.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub kind: OptionKind,
    pub gates: GatePattern,
    pub minutes: i32,
    note: String,
}

impl Access {
    /// Every option that holds, newest first; and those that a newer release gave and this one does not know.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list_options(&self) -> Result<(Vec<GateOption>, Vec<UnknownOption>), Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok((options::list_live(&mut conn).await?, options::list_unknown(&mut conn).await?))
    }

    /// Checks what was typed, and changes nothing.
    ///
    /// # Errors
    /// [`AccessError::Unavailable`].
    pub fn check_option(
        &self,
        kind: OptionKind,
        gates: &GateFields,
        minutes: &str,
        note: &str,
    ) -> Result<Result<Chosen, Mistakes>, AccessError> {
        let mut mistakes = Mistakes::default();
        let gates = mistakes.take(GatePattern::parse(gates).map_err(AccessError::from))?;
        let minutes = mistakes.take(parse_minutes(kind, minutes))?;
        let note = mistakes.take(parse_note(note))?;
        let all = gates.zip(minutes).zip(note);
        Ok(all.map(|((gates, minutes), note)| Chosen { kind, gates, minutes, note }).ok_or(mistakes))
    }

    /// It holds of these gates from now on.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn set_option(&self, by: &By, chosen: &Chosen) -> Result<GateOptionId, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        marks::lock_alone(&mut tx).await?;
        let at = self.0.clock.now();
        let new = NewOption {
            id: GateOptionId(self.0.random.uuid_v7(at)),
            kind: chosen.kind,
            gates: &chosen.gates,
            minutes: chosen.minutes,
            note: &chosen.note,
            at,
            given_by: by.account(),
        };
        options::insert(&mut tx, &new).await?;
        let fields = told((new.id, new.kind), (new.gates, new.minutes), new.note);
        self.record(&mut tx, Kind::GateOptionSet, by, fields).await?;
        tx.commit().await?;
        Ok(new.id)
    }

    /// It holds no longer, unless another option says so. Mails that were written before decide nothing from now on; what the
    /// portal was about to reject under it is not sent any more. Says what it was.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn end_option(&self, by: &By, id: GateOptionId) -> Result<OptionKind, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        // What is decided by it now comes before this, or sees that it has ended (S-32).
        marks::lock_alone(&mut tx).await?;
        let live = options::list_live(&mut tx).await?;
        let gone = AccessError::Gone("There is no such option, or it was ended already.");
        let Some(option) = live.into_iter().find(|option| option.id == id) else { return Err(gone) };
        if !options::mark_ended(&mut tx, id, self.0.clock.now(), by.account()).await? {
            return Err(gone);
        }
        let fields = told((id, option.kind), (&option.gates, option.minutes), &option.note);
        self.record(&mut tx, Kind::GateOptionEnded, by, fields).await?;
        tx.commit().await?;
        Ok(option.kind)
    }
}

/// For how many minutes a mail about this gate decides. None: it does not, because no option says so, a gate that asks for
/// fresh proof never does, or what it hangs on was not read lately. Of several options, the shortest time.
///
/// # Errors
/// Whatever the database says.
pub async fn find_mail_minutes(conn: &mut PgConnection, gate: &Gate, now: Timestamp) -> sqlx::Result<Option<i32>> {
    let live = list_by_mail(conn, gate).await?;
    let known = match live.iter().any(|option| option.gates.tag.is_some()) {
        true => tags::find(conn, (&gate.source, &gate.pipeline), now - TAGS_LAST).await?,
        false => None,
    };
    let Some(minutes) = shortest(&live, gate, known.as_ref()) else { return Ok(None) };
    Ok((!may_ask(conn, gate, now).await?).then_some(minutes))
}

/// What a decision by mail at a gate comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByMail {
    /// For so many minutes after a mail was written.
    Minutes(i32),
    No,
    /// It hangs on tags: ask AWS what the pipeline is tagged with, and try again.
    Tags,
}

/// As [`find_mail_minutes`], for a decision, whose transaction holds the marks and with them the options already
/// ([`super::marks::hold_asked`]): what ends meanwhile comes after it (S-32). Tags count only as they were read for it.
///
/// # Errors
/// Whatever the database says.
pub async fn find_held_minutes(conn: &mut PgConnection, gate: &Gate, tagged: &Tagged) -> sqlx::Result<ByMail> {
    let live = list_by_mail(conn, gate).await?;
    if matches!(tagged, Tagged::Unasked) && live.iter().any(|option| option.gates.tag.is_some()) {
        return Ok(ByMail::Tags);
    }
    Ok(shortest(&live, gate, tagged.known()).map_or(ByMail::No, ByMail::Minutes))
}

/// Every option about mails that may be about this gate.
async fn list_by_mail(conn: &mut PgConnection, gate: &Gate) -> sqlx::Result<Vec<GateOption>> {
    let mut live = options::list_live(conn).await?;
    live.retain(|option| option.kind == OptionKind::DecideByMail && option.gates.fits_names(gate));
    Ok(live)
}

/// For how long a mail decides. That it does takes an option that surely fits; but where tags are not known, one that may fit
/// can only make the time shorter.
fn shortest(live: &[GateOption], gate: &Gate, tags: Option<&Tags>) -> Option<i32> {
    let fits = |option: &&GateOption| option.gates.fits(gate, tags);
    live.iter().find(fits)?;
    live.iter().filter(|option| tags.is_none() || fits(option)).map(|option| option.minutes).min()
}

fn parse_minutes(kind: OptionKind, typed: &str) -> Result<i32, AccessError> {
    let range = kind.minutes();
    let minutes = typed.trim().parse().ok().filter(|minutes| range.contains(minutes));
    let (least, most) = (range.start(), range.end());
    minutes.ok_or_else(|| bad("minutes", format!("Type a whole number of minutes from {least} to {most}.")))
}

fn told((id, kind): (GateOptionId, OptionKind), (gates, minutes): (&GatePattern, i32), note: &str) -> Value {
    json!({
        "option": id, "holds": kind.name(), "gates": gates.to_string(), "pattern": gates.fields(),
        "minutes": minutes, "note": note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(minutes: i32, tag: Option<(&str, &str)>) -> GateOption {
        let (tag_key, tag_value) = tag.map(|(key, value)| (key.into(), value.into())).unwrap_or_default();
        GateOption {
            id: GateOptionId(uuid::Uuid::from_u128(minutes.unsigned_abs().into())),
            kind: OptionKind::DecideByMail,
            gates: GatePattern::parse(&GateFields { tag_key, tag_value, ..GateFields::default() }).unwrap(),
            minutes,
            note: String::new(),
            from: Timestamp::UNIX_EPOCH,
            given_by: None,
        }
    }

    #[test]
    fn a_mail_decides_for_the_shortest_time_and_no_longer_where_tags_are_not_known() {
        let gate = Gate::parse(["prod", "shop", "Production", "Release"]).unwrap();
        let tier = |value: &str| Tags::from([("tier".to_owned(), value.to_owned())]);
        let (plain, gold) = (option(60, None), option(5, Some(("tier", "gold"))));
        let both = [plain, gold.clone()];
        assert_eq!(shortest(&both, &gate, Some(&tier("tin"))), Some(60));
        assert_eq!(shortest(&both, &gate, Some(&tier("gold"))), Some(5));
        assert_eq!(shortest(&both, &gate, None), Some(5), "it may be gold");
        assert_eq!(shortest(&[gold], &gate, None), None, "and it may not");
    }
}
