//! One approval as its template prints it: everything that is known about what a person is about to let out, and what
//! the two buttons will do. Decided here; the template only prints.

use jiff::Timestamp;

use super::foretold::RuleLine;
use super::stages::{Stage, next_after_gate};
use super::trouble::Trouble;
use super::warnings::{self, Warning};
use super::who_may::{WhoMay, WhoView};
use crate::access::unattended::Foretold;
use crate::domain::approval::Standing;
use crate::domain::decision::{State, Verdict};
use crate::domain::details::{Details, NewerRun};
use crate::domain::shown::ShownRevision;
use crate::domain::text::visible;
use crate::store::approvals::Approval;
use crate::store::queue::Live;
use crate::store::records::Earlier;
use crate::web::display::{
    Address, Caller, Said, Started, TimeLeft, TriggerRead, count, first_line, short_id, verdict_chip,
};
use crate::web::parts::{Chip, Moment};

/// Everything a page about an approval is made from.
#[derive(Debug, Clone)]
pub struct Known {
    pub approval: Approval,
    /// The decision that keeps it to itself: on its way, or accepted.
    pub live: Option<Live>,
    pub earlier: Vec<Earlier>,
    /// What keeps it from being read.
    pub troubles: Vec<Trouble>,
    /// Whether the portal still has its source.
    pub is_configured: bool,
    /// What the portal will do by itself.
    pub foretold: Foretold,
    pub who: WhoMay,
}

impl Known {
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing::derive(self.approval.at_aws, self.live.as_ref().map(|live| live.state))
    }
}

/// The approval.
#[derive(Debug, Clone)]
pub struct ApprovalView {
    pub id: String,
    pub pipeline: String,
    pub stage: String,
    pub action: String,
    pub source: String,
    pub account: String,
    pub region: String,
    pub mode: String,
    pub execution: String,
    pub action_execution: Option<String>,
    pub chip: Chip,
    /// Where it stands and what that means, in a sentence. Empty while it is open.
    pub standing: String,
    /// Who ended it, where AWS names somebody.
    pub decided_by: Option<Caller>,
    pub decided_summary: Option<Said>,
    /// The decision that is on its way, or was taken here: its result page.
    pub result: Option<String>,
    pub left: Option<TimeLeft>,
    /// What the portal does if nobody decides.
    pub rule: Option<RuleLine>,
    pub opened: Moment,
    pub expires: Moment,
    pub closed: Option<Moment>,
    pub seen: Moment,
    pub revisions: Vec<Revision>,
    pub more_revisions: Option<String>,
    pub comment: Option<Said>,
    pub review: Option<Address>,
    pub started: Option<Started>,
    pub run_started: Option<Moment>,
    pub variables: Vec<(String, Said)>,
    pub newer: Vec<Newer>,
    pub newer_tally: String,
    pub stages: Vec<Stage>,
    pub earlier: Vec<EarlierLine>,
    pub warnings: Vec<Warning>,
    pub troubles: Vec<Trouble>,
    pub fingerprint: String,
    /// What `Approve` and `Reject` do, each in a sentence.
    pub if_approved: String,
    pub if_rejected: String,
    pub who: WhoView,
}

/// One source revision, whole.
#[derive(Debug, Clone)]
pub struct Revision {
    pub name: String,
    pub short: String,
    pub id: String,
    pub message: Option<Said>,
    pub author: Option<String>,
    /// `main of shop/web`
    pub origin: Option<String>,
    pub authored_at: Option<String>,
    pub url: Option<Address>,
}

/// A newer run that waits behind.
#[derive(Debug, Clone)]
pub struct Newer {
    pub execution: String,
    pub started: Option<Moment>,
    pub at: Option<String>,
    pub brings: Vec<String>,
}

/// How an earlier request at this gate ended.
#[derive(Debug, Clone)]
pub struct EarlierLine {
    pub chip: Chip,
    pub by: Caller,
    pub is_here: bool,
    pub at: Moment,
    pub execution: String,
    pub summary: Option<Said>,
    pub approval: String,
    pub record: Option<i64>,
}

impl ApprovalView {
    #[must_use]
    pub fn of(known: &Known, now: Timestamp) -> Self {
        let approval = &known.approval;
        let (shown, details, standing) = (&approval.shown, &approval.details, known.standing());
        Self {
            id: approval.id.to_string(),
            pipeline: approval.gate.pipeline.to_string(),
            stage: approval.gate.stage.to_string(),
            action: approval.gate.action.to_string(),
            source: approval.gate.source.to_string(),
            account: visible(&shown.account),
            region: visible(&shown.region),
            mode: visible(approval.mode.name()),
            execution: visible(&shown.execution),
            action_execution: shown.action_execution.as_deref().map(visible),
            chip: Chip::of(standing),
            standing: standing_sentence(known, standing),
            decided_by: approval.decided_by.as_deref().map(Caller::read),
            decided_summary: approval.decided_summary.as_deref().filter(|text| !text.is_empty()).map(Said::whole),
            result: known.live.as_ref().map(|live| format!("/approvals/{}/result/{}", approval.id, live.id)),
            left: standing.is_live().then(|| TimeLeft::new(approval.expires_at, approval.expires_about, now)),
            rule: RuleLine::of(known.foretold, now).filter(|_| standing.is_open() && known.is_configured),
            opened: Moment::new(approval.opened_at, now).about(approval.opened_about),
            expires: Moment::new(approval.expires_at, now).about(approval.expires_about),
            closed: approval.closed_at.map(|at| Moment::new(at, now)),
            seen: Moment::new(approval.seen_open_at, now),
            revisions: shown.revisions.iter().map(|revision| Revision::of(revision, details)).collect(),
            more_revisions: (shown.more_revisions > 0).then(|| {
                format!("and {} that are not shown", count(shown.more_revisions, "more source", "more sources"))
            }),
            comment: shown.comment.as_ref().map(Said::clipped),
            review: shown.review_url.as_ref().map(Address::read),
            started: details
                .trigger
                .as_ref()
                .map(|trigger| Started::read(TriggerRead { kind: &trigger.kind, detail: trigger.detail.as_deref() })),
            run_started: details.run_started_at.map(|at| Moment::new(at, now)),
            variables: details.variables.iter().map(|it| (visible(&it.name), Said::clipped(&it.value))).collect(),
            newer: details.newer.iter().map(|run| Newer::of(run, now)).collect(),
            newer_tally: count(details.newer.len() as u64 + details.more_newer, "newer run waits", "newer runs wait"),
            stages: Stage::list(approval),
            earlier: known.earlier.iter().map(|earlier| EarlierLine::of(earlier, now)).collect(),
            warnings: warnings::list(approval),
            troubles: known.troubles.clone(),
            fingerprint: approval.fingerprint.hex(),
            if_approved: if_approved(approval),
            if_rejected: if_rejected(approval),
            who: WhoView::of(&known.who, now),
        }
    }
}

fn if_approved(approval: &Approval) -> String {
    let run = short_id(&approval.shown.execution);
    let pipeline = &approval.gate.pipeline;
    if warnings::is_stopping(approval) {
        return format!(
            "Approve completes this gate; run {run} of {pipeline} then stops, because a stop was asked for."
        );
    }
    match next_after_gate(approval) {
        Some(next) => format!("Approve lets run {run} of {pipeline} go on to {next}."),
        None => format!("Approve lets run {run} of {pipeline} complete: this gate is its last step."),
    }
}

fn if_rejected(approval: &Approval) -> String {
    format!(
        "Reject fails stage {} of run {} of {}: nothing after this gate happens. Say why in the summary.",
        approval.gate.stage,
        short_id(&approval.shown.execution),
        approval.gate.pipeline
    )
}

fn standing_sentence(known: &Known, standing: Standing) -> String {
    let who = known.live.as_ref().map(|live| visible(&live.by)).unwrap_or_default();
    let verdict = known.live.as_ref().map_or("decided on", |live| match live.verdict {
        Verdict::Approved => "approved",
        Verdict::Rejected => "rejected",
    });
    let is_here = known.live.as_ref().is_some_and(|live| live.state == State::Accepted);
    let why = known.approval.closed_why.as_deref().map(visible);
    match standing {
        Standing::Open => String::new(),
        Standing::Submitting => {
            format!("{who} has {verdict} this. It is being sent to AWS, which has not answered yet.")
        }
        Standing::Unsure => format!(
            "{who} has {verdict} this, and what AWS made of it is not certain yet. AWS is being read to find out; nothing is sent \
             until that is known."
        ),
        Standing::Approved if is_here => format!("{who} approved this here."),
        Standing::Rejected if is_here => format!("{who} rejected this here."),
        Standing::Approved => "This was approved outside Countersign.".to_owned(),
        Standing::Rejected => "This was rejected outside Countersign.".to_owned(),
        Standing::Expired => "Nobody answered in time. AWS has failed the gate.".to_owned(),
        Standing::Superseded => "A newer run took its place.".to_owned(),
        Standing::Stopped => "The run was stopped at AWS.".to_owned(),
        Standing::Gone => {
            format!("This request no longer exists at AWS: {}.", why.as_deref().unwrap_or("it was not said why"))
        }
    }
}

impl Revision {
    fn of(revision: &ShownRevision, details: &Details) -> Self {
        let source = details.sources.iter().find(|source| source.name == revision.name);
        let origin = source.and_then(|source| match (&source.branch, &source.repository) {
            (Some(branch), Some(repository)) => Some(format!("{} of {}", visible(branch), visible(repository))),
            (one, other) => one.as_deref().or(other.as_deref()).map(visible),
        });
        Self {
            origin,
            authored_at: source.and_then(|source| source.authored_at.as_deref()).map(visible),
            name: visible(&revision.name),
            short: short_id(&revision.id),
            id: visible(&revision.id),
            message: revision.message.as_ref().filter(|message| !message.text.is_empty()).map(Said::clipped),
            author: revision.author.as_deref().map(visible),
            url: revision.url.as_ref().map(Address::read),
        }
    }
}

impl Newer {
    fn of(run: &NewerRun, now: Timestamp) -> Self {
        Self {
            execution: short_id(&run.execution),
            started: run.started_at.map(|at| Moment::new(at, now)),
            at: run.at_stage.as_deref().map(visible),
            brings: run.brings.iter().map(|text| first_line(text)).collect(),
        }
    }
}

impl EarlierLine {
    fn of(earlier: &Earlier, now: Timestamp) -> Self {
        let verdict = Verdict::from_name(&earlier.verdict).unwrap_or(Verdict::Rejected);
        Self {
            chip: verdict_chip(verdict),
            by: Caller::read(&earlier.by),
            is_here: earlier.is_here,
            at: Moment::new(earlier.at, now),
            execution: short_id(&earlier.execution),
            summary: (!earlier.summary.trim().is_empty()).then(|| Said::whole(&earlier.summary)),
            approval: earlier.approval.to_string(),
            record: earlier.seq,
        }
    }
}
