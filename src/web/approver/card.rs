//! A card of the queue as its template prints it: one approval that waits, in short. Decided here from what was read; the
//! template only prints.

use super::foretold::RuleLine;
use super::queue_view::Look;
use crate::access::right::TAGS_LAST;
use crate::access::unattended::Waits;
use crate::domain::approval::Standing;
use crate::domain::decision::Verdict;
use crate::domain::details::SourceSeen;
use crate::domain::shown::ShownRevision;
use crate::domain::text::visible;
use crate::store::queue::{SourceSight, Waiting};
use crate::web::display::{Address, Caller, Said, Started, TimeLeft, TriggerRead, count, first_line, short_id};
use crate::web::parts::{Chip, Moment};

/// One waiting approval.
#[derive(Debug, Clone)]
pub struct Card {
    pub id: String,
    pub pipeline: String,
    pub stage: String,
    pub action: String,
    pub source: String,
    pub account: String,
    pub region: String,
    pub chip: Chip,
    pub left: TimeLeft,
    pub opened: Moment,
    pub execution: String,
    pub revisions: Vec<RevisionLine>,
    pub more_revisions: Option<String>,
    pub comment: Option<Said>,
    pub review: Option<Address>,
    pub started: Option<Started>,
    /// `Ana approves; on its way to AWS.`
    pub deciding: Option<String>,
    pub newer: Option<String>,
    /// What the portal does if nobody decides.
    pub rule: Option<RuleLine>,
    /// Set while it cannot be read: what is shown may be old.
    pub last_seen: Option<Moment>,
}

/// One source revision in a line.
#[derive(Debug, Clone)]
pub struct RevisionLine {
    pub id: String,
    pub message: String,
    pub author: Option<String>,
    pub branch: Option<String>,
}

impl Card {
    pub(super) fn of(waiting: &Waiting, sight: &[SourceSight], look: Look<'_>) -> Self {
        let (now, shown) = (look.now, &waiting.shown);
        let hidden = shown.revisions.len().saturating_sub(2) as u64 + shown.more_revisions;
        Self {
            id: waiting.id.to_string(),
            pipeline: shown.gate.pipeline.to_string(),
            stage: shown.gate.stage.to_string(),
            action: shown.gate.action.to_string(),
            source: shown.gate.source.to_string(),
            account: visible(&shown.account),
            region: visible(&shown.region),
            chip: Chip::of(waiting.standing()),
            left: TimeLeft::new(waiting.expires_at, waiting.expires_about, now),
            opened: Moment::new(waiting.opened_at, now).about(waiting.opened_about),
            execution: short_id(&shown.execution),
            revisions: shown
                .revisions
                .iter()
                .take(2)
                .map(|revision| RevisionLine::of(revision, &waiting.sources))
                .collect(),
            more_revisions: (hidden > 0).then(|| format!("and {}", count(hidden, "more source", "more sources"))),
            comment: shown.comment.as_ref().map(|comment| Said::beginning(comment, 3, 200)),
            review: shown.review_url.as_ref().map(Address::read),
            started: waiting
                .trigger
                .as_ref()
                .map(|trigger| Started::read(TriggerRead { kind: &trigger.kind, detail: trigger.detail.as_deref() })),
            deciding: waiting.live.as_ref().map(|live| deciding(&live.by, live.verdict)),
            newer: (waiting.newer > 0)
                .then(|| format!("{} behind this one", count(waiting.newer, "newer run waits", "newer runs wait"))),
            rule: rule(waiting, look).filter(|_| !is_gone(waiting, sight)),
            last_seen: waiting.unread_since.map(|_| Moment::new(waiting.seen_open_at, now)),
        }
    }

    /// Who or what started the run, where AWS says.
    #[must_use]
    pub fn starter(&self) -> Option<&Caller> {
        self.started.as_ref().and_then(|started| started.by.as_ref())
    }
}

/// Whether its source is no longer configured: nobody decides there, and no rule does.
fn is_gone(waiting: &Waiting, sight: &[SourceSight]) -> bool {
    sight.iter().any(|source| !source.configured && source.name == waiting.shown.gate.source.as_str())
}

fn rule(waiting: &Waiting, look: Look<'_>) -> Option<RuleLine> {
    if waiting.standing() != Standing::Open {
        return None;
    }
    let lately = waiting.tags.as_ref().filter(|(_, read_at)| *read_at >= look.now - TAGS_LAST);
    let (opened_at, found_at) = (waiting.opened_at, waiting.found_at);
    let waits = Waits { gate: &waiting.shown.gate, opened_at, found_at, ended: waiting.ended };
    let foretold = look.rules.foretell(waits, waiting.expires_at, lately.map(|(tags, _)| tags));
    RuleLine::of(foretold, look.now)
}

fn deciding(by: &str, verdict: Verdict) -> String {
    let by = visible(by);
    match verdict {
        Verdict::Approved => format!("{by} said “approve”; AWS has not confirmed it yet."),
        Verdict::Rejected => format!("{by} said “reject”; AWS has not confirmed it yet."),
    }
}

impl RevisionLine {
    fn of(revision: &ShownRevision, sources: &[SourceSeen]) -> Self {
        let branch =
            sources.iter().find(|source| source.name == revision.name).and_then(|source| source.branch.as_deref());
        Self {
            branch: branch.map(visible),
            id: short_id(&revision.id),
            message: revision.message.as_ref().map(|message| first_line(&message.text)).unwrap_or_default(),
            author: revision.author.as_deref().map(visible),
        }
    }
}
