//! What the letters say. One thing is told with everything an approver needs to know; many are a list. Everything from AWS
//! is somebody's text: put on one line, bounded and escaped by [`Letter`], and never an address to click (U-01, U-02).

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use secrecy::ExposeSecret as _;

use crate::access::unattended::Foretold;
use crate::approvals::subject::Subject;
use crate::approvals::words::{
    end_line, end_sentence, ending, place, review, revision_line, said, started, who, words,
};
use crate::domain::ids::SourceName;
use crate::domain::notices::{Kind, Why};
use crate::mail::{Letter, Outbox, Rank};
use crate::mailed::Mailed;
use crate::store::approvals::Approval;

/// How many things one letter shows; of the rest it says how many they are.
pub(super) const SHOWN: usize = 20;
/// A letter that asks for a decision is of no use beyond the deadline, and of some use for this long at least.
const LEAST_USE: SignedDuration = SignedDuration::from_mins(5);
const MOST_USE: SignedDuration = SignedDuration::from_hours(72);
/// From here on a deadline presses.
const PRESSES: SignedDuration = SignedDuration::from_hours(1);

/// Something that is told.
#[derive(Debug)]
pub(super) struct Told {
    pub kind: Kind,
    pub why: Why,
    pub subject: Subject,
    pub expires: Option<Timestamp>,
    /// What the portal does if nobody decides.
    pub foretold: Foretold,
    /// In whose place its reader may decide it.
    pub for_whom: Option<String>,
    /// The link that leads to it, where a decision is asked for.
    pub mailed: Option<Mailed>,
    /// The group its reader is told in.
    pub group: Option<String>,
}

/// For whom a letter is made.
type Means<'a> = (&'a Outbox, &'a TimeZone, Timestamp);

/// The letter that tells of all this, which is in the order of [`Kind::place`] and not empty.
pub(super) fn write(told: &[Told], (outbox, zone, now): Means<'_>) -> Letter {
    let letter = match told {
        [Told { subject: Subject::Approval(approval), .. }] => of_approval(&told[0], approval, (outbox, zone, now)),
        [Told { kind, subject: Subject::Source { name, since, why }, .. }] => {
            of_source(*kind, (name, *since, why.as_deref()), (outbox, zone, now))
        }
        _ => of_many(told, (outbox, zone, now)),
    };
    let rank = if told.iter().any(|one| presses(one, now)) { Rank::Urgent } else { Rank::Notice };
    let letter = letter.notice(rank, outbox.address_of("/me/notifications"));
    // What only asks is of no use once there is nothing left to decide.
    let last = told.iter().map(|one| one.expires.filter(|_| one.kind.asks())).collect::<Option<Vec<_>>>();
    match last.and_then(|all| all.into_iter().max()) {
        Some(expires) => letter.useful_for(expires.duration_since(now).clamp(LEAST_USE, MOST_USE)),
        None => letter,
    }
}

/// Whether it does not bear waiting.
pub(super) fn presses(told: &Told, now: Timestamp) -> bool {
    told.kind.is_reminder()
        || told.kind == Kind::Blind
        || (told.kind.asks() && told.expires.is_some_and(|expires| expires.duration_since(now) <= PRESSES))
}

fn of_approval(told: &Told, approval: &Approval, (outbox, zone, _): Means<'_>) -> Letter {
    let place = place(approval);
    let (kind, subject, opening) = match told.kind {
        Kind::Waiting => ("notice-waiting", format!("Waiting for you: {place}"), "A release waits for your decision."),
        Kind::HalfTime => (
            "notice-reminder",
            format!("Still waiting: {place}"),
            "A release still waits for a decision, and half of its time is over.",
        ),
        Kind::Escalated => (
            "notice-escalated",
            format!("Nobody has decided yet: {place}"),
            "A release waits for a decision, and nobody who may decide it has done so.",
        ),
        Kind::LastHour => (
            "notice-reminder",
            format!("Less than an hour left: {place}"),
            "A release still waits for a decision, and less than an hour is left.",
        ),
        _ => ("notice-end", format!("{}: {place}", ending(approval)), end_sentence(approval)),
    };
    let mut letter = Letter::new(kind, &subject).saying(opening);
    if let Some(name) = &told.for_whom {
        letter = letter.saying(&format!("You may decide it in place of {name}."));
    }
    if let (Kind::Escalated, Some(group)) = (told.kind, &told.group) {
        letter = letter.saying(&format!("You are told because you are in the group {group}."));
    }
    letter = ended_facts(facts(letter, approval), approval, zone);
    if told.kind.asks() {
        let about = if approval.expires_about { "about " } else { "" };
        letter = letter.fact("Decide by", &format!("{about}{}", words(approval.expires_at, zone)));
        if let Some(rule) = foretold(told.foretold, zone) {
            letter = letter.fact("If nobody decides", &rule);
        }
    }
    let label = if told.kind.asks() { "Open the approval" } else { "See what became of it" };
    let letter = letter.link(label, address(outbox, told, approval));
    if told.kind.asks() {
        let how = match &told.mailed {
            Some(Mailed { code: Some((code, until)), .. }) => format!(
                "Opening it decides nothing: there you see what it is now, and say yes or no. You can decide without signing in, \
                 until {}, by typing this code there: {}. Give the code to nobody: with this mail it decides as you.",
                words(*until, zone),
                code.printed()
            ),
            _ if told.kind == Kind::Escalated => {
                "Opening it decides nothing: there you see what it is now, and who may decide it.".to_owned()
            }
            _ => "Opening it decides nothing: there you see what it is now, and say yes or no.".to_owned(),
        };
        letter.saying(&how).saying("Texts above were written by others, and so were any addresses in them.")
    } else {
        letter.saying(because(told.why))
    }
}

fn of_source(
    kind: Kind,
    (name, since, why): (&SourceName, Timestamp, Option<&str>),
    (outbox, zone, _): Means<'_>,
) -> Letter {
    let (subject, opening) = source_words(kind, name);
    let mut letter = Letter::new("notice-source", &subject).saying(&opening).fact("Source", name.as_str());
    letter = letter.fact("Could not be read since", &words(since, zone));
    if let (Kind::Blind, Some(why)) = (kind, why) {
        letter = letter.fact("Why", why);
    }
    letter.link("Open the queue", outbox.address_of("/")).saying(because(Why::Admin))
}

fn source_words(kind: Kind, name: &SourceName) -> (String, String) {
    if kind == Kind::Blind {
        let opening = "The portal cannot read this source. What waits there is shown as it was last known, and new \
                       approvals are not seen until it can be read again.";
        (format!("Source {name} cannot be read"), opening.to_owned())
    } else {
        (format!("Source {name} can be read again"), "The portal can read this source again.".to_owned())
    }
}

fn of_many(told: &[Told], (outbox, zone, now): Means<'_>) -> Letter {
    let mut letter = Letter::new("notice-many", &many_subject(told)).saying("What happened since your last letter:");
    let mut at = 0;
    while let Some(first) = told.get(at) {
        let same: Vec<&Told> = told[at..].iter().take_while(|one| one.kind == first.kind).collect();
        let hidden = same.iter().filter(|one| matches!(one.subject, Subject::NotShown)).count();
        let more = (hidden > 0).then(|| match same.len() - hidden {
            0 => format!("{hidden} that are not listed here."),
            _ => format!("And {hidden} more."),
        });
        letter = letter.section(&format!("{} ({})", heading(first.kind), same.len()), more.as_deref());
        for one in &same {
            letter = item(letter, one, (outbox, zone, now));
        }
        at += same.len();
    }
    let letter = letter.link("Open the queue", outbox.address_of("/")).saying("Opening it decides nothing.");
    let letter = match told.iter().any(|one| one.mailed.as_ref().is_some_and(|mailed| mailed.code.is_some())) {
        true => letter.saying("Give the codes to nobody: with this mail they decide as you."),
        false => letter,
    };
    letter.saying("Texts above were written by others, and so were any addresses in them.")
}

pub(super) fn many_subject(told: &[Told]) -> String {
    let count = |is: &dyn Fn(Kind) -> bool| told.iter().filter(|one| is(one.kind)).count();
    let mut parts = Vec::new();
    let mut part = |n: usize, one: &str, many: &str| match n {
        0 => {}
        1 => parts.push(format!("1 {one}")),
        _ => parts.push(format!("{n} {many}")),
    };
    part(
        count(&|kind| kind == Kind::LastHour),
        "approval with less than an hour left",
        "approvals with less than an hour left",
    );
    part(
        count(&|kind| matches!(kind, Kind::HalfTime | Kind::Waiting)),
        "approval waits for you",
        "approvals wait for you",
    );
    part(
        count(&|kind| kind == Kind::Escalated),
        "approval that nobody has decided",
        "approvals that nobody has decided",
    );
    part(
        count(&|kind| matches!(kind, Kind::Decided | Kind::Expired | Kind::Ended)),
        "approval waits no longer",
        "approvals wait no longer",
    );
    part(count(&|kind| kind == Kind::Blind), "source cannot be read", "sources cannot be read");
    part(count(&|kind| kind == Kind::Seen), "source can be read again", "sources can be read again");
    parts.join(", ")
}

fn item(letter: Letter, told: &Told, (outbox, zone, _): Means<'_>) -> Letter {
    match &told.subject {
        Subject::NotShown => letter,
        Subject::Source { name, since, why } => {
            let since = format!("Could not be read since {}", words(*since, zone));
            let why = why.iter().filter(|_| told.kind == Kind::Blind).cloned();
            letter.item(name.as_str(), &[since].into_iter().chain(why).collect::<Vec<_>>(), outbox.address_of("/"))
        }
        Subject::Approval(approval) => {
            let mut lines = Vec::new();
            // Before whatever others have written, so that nobody can put a code of theirs above it.
            if let Some(Mailed { code: Some((code, until)), .. }) = &told.mailed {
                lines.push(format!(
                    "Code to decide it without signing in, until {}: {}",
                    words(*until, zone),
                    code.printed()
                ));
            }
            if let Some(revision) = approval.shown.revisions.first() {
                lines.push(format!("Change: {}", revision_line(revision)));
            }
            lines.push(format!("{} in {}", approval.shown.account, approval.shown.region));
            if told.kind.asks() {
                let about = if approval.expires_about { "about " } else { "" };
                lines.push(format!("Decide by {about}{}", words(approval.expires_at, zone)));
                lines.extend(foretold(told.foretold, zone).map(|rule| format!("If nobody decides: {rule}")));
            } else {
                lines.push(end_line(approval));
            }
            if let Some(name) = &told.for_whom {
                lines.push(format!("In place of {name}"));
            }
            if let (Kind::Escalated, Some(group)) = (told.kind, &told.group) {
                lines.push(format!("Told to the group {group}"));
            }
            letter.item(&place(approval), &lines, address(outbox, told, approval))
        }
    }
}

/// Everything that says what it is, in the words of its page.
fn facts(letter: Letter, approval: &Approval) -> Letter {
    let shown = &approval.shown;
    let mut letter = letter
        .fact("Pipeline", shown.gate.pipeline.as_str())
        .fact("Gate", &format!("{}, in stage {}", shown.gate.action, shown.gate.stage))
        .fact("Account and region", &format!("{} in {} (source {})", shown.account, shown.region, shown.gate.source));
    for revision in &shown.revisions {
        letter = letter.fact("Revision", &format!("{} {}", revision.name, revision.id));
        if let Some(message) = &revision.message {
            letter = letter.fact("Message", &said(message));
        }
        if let Some(author) = &revision.author {
            letter = letter.fact("Author", author);
        }
    }
    if shown.more_revisions > 0 {
        letter = letter.fact("More revisions", &shown.more_revisions.to_string());
    }
    if let Some(started) = started(approval) {
        letter = letter.fact("Started", &started);
    }
    if let Some(comment) = &shown.comment {
        letter = letter.fact("Comment", &said(comment));
    }
    if let Some(address) = &shown.review_url {
        letter = letter.fact("Review link", &review(address));
    }
    letter
}

fn ended_facts(letter: Letter, approval: &Approval, zone: &TimeZone) -> Letter {
    let Some(at) = approval.closed_at else { return letter };
    let mut letter = letter.fact("Ended", &words(at, zone));
    if let Some(by) = &approval.decided_by {
        letter = letter.fact("Decided by", &who(by));
    }
    if let Some(summary) = &approval.decided_summary {
        letter = letter.fact("Summary", summary);
    }
    match &approval.closed_why {
        Some(why) => letter.fact("Why", why),
        None => letter,
    }
}

fn address(outbox: &Outbox, told: &Told, approval: &Approval) -> String {
    match &told.mailed {
        Some(mailed) => outbox.address_of(mailed.path().expose_secret()),
        None => outbox.address_of(&format!("/approvals/{}", approval.id)),
    }
}

/// What the portal does if nobody decides.
fn foretold(foretold: Foretold, zone: &TimeZone) -> Option<String> {
    match foretold {
        Foretold::Never => None,
        Foretold::At(at) => Some(format!("Countersign rejects it at {}", words(at, zone))),
        Foretold::NotKnown => Some("Countersign may reject it, by a rule about its pipeline's tags".to_owned()),
    }
}

/// What all of one kind is called, for one and for many.
pub(super) fn heading(kind: Kind) -> &'static str {
    match kind {
        Kind::LastHour => "Less than an hour left",
        Kind::HalfTime => "Half of the time is over",
        Kind::Escalated => "Nobody has decided yet",
        Kind::Blind => "Cannot be read",
        Kind::Waiting => "Waiting for your decision",
        Kind::Decided => "Decided",
        Kind::Expired => "Expired",
        Kind::Ended => "No longer waiting",
        Kind::Seen => "Can be read again",
    }
}

fn because(why: Why) -> &'static str {
    match why {
        Why::Decider => "You are told because you were told that it waits.",
        Why::Starter => "You are told because you started its run.",
        Why::Escalated => "You are told because you were told that nobody had decided it.",
        Why::Admin => "Every admin is told who wants to be.",
    }
}
