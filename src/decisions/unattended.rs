//! Rejecting what nobody decided in time, at gates where an admin chose that ([`crate::access::unattended`]). The portal's own
//! act, and the only one: [`Maker::Rule`] cannot approve.
//!
//! It goes the way of a person's decision. The approval is read at AWS first, and only what is seen to wait is rejected. The
//! transaction of the intent holds the options as it holds marks, so that one which was ended before is not acted upon; so does
//! each send. Who decides in the same second is either first, and this does nothing, or is told that it was rejected.

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::intent::limit;
use super::payload::IntendedByRule;
use super::send::Trouble;
use super::{Decisions, pace};
use crate::access::right::{Refusal, TAGS_LAST, Tagged};
use crate::access::unattended::{Due, Rules, Waits};
use crate::approvals::Approval;
use crate::audit::{Kind, Payload};
use crate::domain::approval::AtAws;
use crate::domain::decision::{BY_RULE, Maker, SIGNED_BY_RULE};
use crate::domain::ids::{ApprovalId, DecisionId, Gate, GateOptionId};
use crate::domain::summary::{Summary, room_for, units};
use crate::domain::text::visible;
use crate::store::access::marks;
use crate::store::access::options::{self, GateOption};
use crate::store::decisions::intake::{self, NewDecision};
use crate::store::decisions::{self as table, unattended};

/// How many are looked at in one pass, beside each other: those that opened first. A rule that makes hundreds due in one
/// second must not take the way to AWS from people who decide.
const AT_ONCE: usize = 16;
/// How much of an admin's name AWS is told.
const MOST_OF_A_NAME: usize = 100;

/// What came of looking at one.
enum Looked {
    Rejected(DecisionId),
    /// It no longer waits, somebody decides it, or no rule makes it due.
    Nothing,
    /// What the rules come to hangs on the pipeline's tags.
    AskForTags,
}

impl Decisions {
    /// Rejects what nobody decided in time, where a rule says so, and starts sending. Returns how many.
    ///
    /// # Errors
    /// Whatever the database says about finding them. Trouble with a single one is logged, and it is looked at again later.
    pub async fn reject_unattended(&self) -> sqlx::Result<usize> {
        let due = self.0.reader.database().pulse.or_dead(self.list_due()).await?;
        let looked = futures::future::join_all(due.into_iter().map(|id| self.look_after(id))).await;
        Ok(looked.into_iter().filter(|rejected| *rejected).count())
    }

    /// What is due by what was last read. One small query while there is no rule.
    async fn list_due(&self) -> sqlx::Result<Vec<ApprovalId>> {
        let now = self.surely_past();
        let mut conn = self.0.pool.acquire().await?;
        let rules = Rules::load(&mut conn, now).await?;
        let Some(fewest) = rules.fewest_minutes() else { return Ok(Vec::new()) };
        let before = |span| now.checked_sub(span).unwrap_or(now);
        let opened = before(SignedDuration::from_mins(fewest.into()));
        let waiting = unattended::list(&mut conn, opened, before(TAGS_LAST)).await?;
        drop(conn);
        let mut not_before = self.not_before();
        // What is held up for longer was held by a clock that was wrong.
        not_before.retain(|_, at| *at > now && *at <= now + pace::UNATTENDED_AGAIN);
        let is_due = |one: &&unattended::Unattended| {
            let waits = Waits { gate: &one.gate, opened_at: one.opened_at, found_at: one.found_at, ended: one.ended };
            matches!(rules.of(waits, one.tags.as_ref()), Due::At(at, _) if at <= now)
                && !not_before.contains_key(&one.approval)
        };
        Ok(waiting.iter().filter(is_due).map(|one| one.approval).take(AT_ONCE).collect())
    }

    /// A moment that is past whichever of the two clocks is wrong: nothing is rejected because one of them is fast.
    fn surely_past(&self) -> Timestamp {
        self.0.clock.now().min(self.0.clock.machine_now())
    }

    async fn look_after(&self, id: ApprovalId) -> bool {
        match self.reject_if_due(id).await {
            Ok(Looked::Rejected(decision)) => {
                tracing::info!(approval = %id, %decision, "nobody decided in time: rejecting under a rule");
                self.send_in_background(decision);
                true
            }
            Ok(Looked::Nothing | Looked::AskForTags) => {
                self.hold_off(id);
                false
            }
            Err(error) => {
                tracing::warn!(error = &*error, approval = %id, "nobody decided in time, but it could not be rejected; it is looked at again");
                self.hold_off(id);
                false
            }
        }
    }

    /// It is not looked at again for a while, so that the next pass comes to others.
    fn hold_off(&self, id: ApprovalId) {
        let again = self.surely_past().checked_add(pace::UNATTENDED_AGAIN).unwrap_or(Timestamp::MAX);
        self.not_before().insert(id, again);
    }

    async fn reject_if_due(&self, id: ApprovalId) -> Result<Looked, Trouble> {
        let began = self.0.clock.now();
        let pulse = self.0.reader.database().pulse.clone();
        let live = pulse.or_dead(Box::pin(self.0.reader.refresh(id))).await?;
        // Nothing is rejected that was not just seen to wait.
        if live.at_aws != AtAws::Open || live.seen_open_at < began {
            return Ok(Looked::Nothing);
        }
        match pulse.or_dead(self.commit_rejection(&live, &Tagged::Unasked)).await? {
            Looked::AskForTags => {
                let tags = pulse.or_dead(Box::pin(self.0.reader.read_tags(&live.gate))).await?;
                pulse.or_dead(self.commit_rejection(&live, &Tagged::Are(tags))).await
            }
            looked => Ok(looked),
        }
    }

    /// One transaction, as for a person: the approval, the option it rests on, the decision and its record. The locks are taken
    /// in the order of a person's decision.
    async fn commit_rejection(&self, live: &Approval, tagged: &Tagged) -> Result<Looked, Trouble> {
        let until = Instant::now() + pace::WAITING;
        let mut tx = self.0.pool.begin().await?;
        limit(&mut tx, until).await?;
        let Some(locked) = intake::lock_approval(&mut tx, live.id).await? else { return Ok(Looked::Nothing) };
        if !locked.open || locked.fingerprint != live.fingerprint.0 {
            return Ok(Looked::Nothing);
        }
        if table::find_holding(&mut tx, live.id).await?.is_some() {
            return Ok(Looked::Nothing);
        }
        marks::lock_shared(&mut tx).await?;
        let now = self.surely_past();
        let rules = Rules::load(&mut tx, now).await?;
        let ended = unattended::find_ended(&mut tx, live.id).await?;
        let (due_at, option) = match rules.of(Waits::of(live, ended), tagged.known()) {
            Due::At(at, option) if at <= now => (at, option),
            Due::At(..) | Due::Never => return Ok(Looked::Nothing),
            Due::NotKnown => return Ok(Looked::AskForTags),
        };
        let words = words(option);
        let (id, now) = (DecisionId(self.0.random.uuid_v7(now)), self.0.clock.now());
        let intended = IntendedByRule::new((id, live), (option, due_at), words.as_str());
        let payload = Payload::new(&self.0.random, &intended)?;
        let new = NewDecision {
            id,
            approval: live.id,
            maker: Maker::Rule(option.id),
            signed_as: SIGNED_BY_RULE,
            summary: words.as_str(),
            fingerprint: live.fingerprint,
            channel: BY_RULE,
            proven: false,
            now,
            holder: self.0.holder,
            held_until: now + pace::LEASE,
            record_kind: Kind::DecisionIntended.name(),
            record_actor: "system",
            record_payload: payload.as_bytes(),
        };
        limit(&mut tx, until).await?;
        intake::insert_with_record(&mut tx, &new).await?;
        // Where nobody confirms it and it was kept all the same, it is sent when its lease is over, like anybody's.
        tx.commit().await?;
        Ok(Looked::Rejected(id))
    }

    fn not_before(&self) -> std::sync::MutexGuard<'_, std::collections::HashMap<ApprovalId, Timestamp>> {
        self.0.not_before.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Why what was to be rejected under this option must not be any more, with the options held until the transaction ends.
pub(super) async fn find_bar_to_rule(
    conn: &mut PgConnection,
    option: GateOptionId,
    gate: &Gate,
    tagged: &Tagged,
) -> sqlx::Result<Option<Refusal>> {
    marks::lock_shared(conn).await?;
    let live = options::list_live(conn).await?;
    let Some(option) = live.into_iter().find(|one| one.id == option) else {
        return Ok(Some(Refusal::No("The rule under which the portal was to reject it has ended.".into())));
    };
    Ok(match tagged {
        Tagged::Unasked if option.gates.tag.is_some() => Some(Refusal::AskForTags),
        Tagged::Unreadable(why) if option.gates.tag.is_some() => Some(Refusal::No(format!(
            "The rule under which the portal was to reject it is about tags, and they cannot be read: {why}"
        ))),
        _ if option.gates.fits(gate, tagged.known()) => None,
        _ => Some(Refusal::No(
            "The rule under which the portal was to reject it is not about this gate any more.".into(),
        )),
    })
}

/// `Rejected by Countersign: nobody decided within 60 minutes (rule of Ana, 2026-11-21)`
fn words(option: &GateOption) -> Summary {
    let given = option.from.strftime("%Y-%m-%d");
    let said = |by: &str| {
        format!("Rejected by Countersign: nobody decided within {} minutes (rule of {by}, {given})", option.minutes)
    };
    let name = option.given_by.as_deref().map_or_else(|| "the operator".to_owned(), short);
    let room = room_for(SIGNED_BY_RULE);
    let words = Summary::parse(&said(&name), room, true).or_else(|_| Summary::parse(&said("an admin"), room, true));
    words.expect("numbers and our own words fit")
}

/// A name in one line, and not too long for a summary.
fn short(name: &str) -> String {
    let mut out = String::new();
    for c in visible(name).chars().map(|c| if c.is_whitespace() { ' ' } else { c }) {
        if units(&out) + c.len_utf16() >= MOST_OF_A_NAME {
            out.push('…');
            break;
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::{GatePattern, OptionKind};
    use crate::domain::summary::{MAX_SENT, Marker};

    fn option(given_by: Option<&str>) -> GateOption {
        GateOption {
            id: GateOptionId(uuid::Uuid::from_u128(1)),
            kind: OptionKind::RejectUnattended,
            gates: GatePattern::everything(),
            minutes: 10_080,
            note: String::new(),
            from: "2026-11-21T23:30:00Z".parse().unwrap(),
            given_by: given_by.map(str::to_owned),
        }
    }

    #[test]
    fn what_aws_is_told_names_the_rule_and_fits_whatever_the_admin_is_called() {
        assert_eq!(
            words(&option(Some("Adam Berg"))).as_str(),
            "Rejected by Countersign: nobody decided within 10080 minutes (rule of Adam Berg, 2026-11-21)"
        );
        assert!(words(&option(None)).as_str().contains("(rule of the operator, 2026-11-21)"));
        let odd = ["\u{1}\u{202e}[x, rec 1 9f9f9f9f9f9f9f9f]\n".repeat(40), "ß𝄞".repeat(300), String::new()];
        for name in odd {
            let words = words(&option(Some(&name)));
            let sent = Marker::new(999_999_999_999, &[0x9f; 32]).sign(&words, SIGNED_BY_RULE);
            assert!(units(&sent) <= MAX_SENT, "{sent}");
            assert!(words.as_str().ends_with(", 2026-11-21)") && !words.as_str().contains('\n'), "{sent}");
            assert_eq!(Marker::read(words.as_str()), None);
        }
    }
}
