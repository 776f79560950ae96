//! From a request's fate to what is written about it.

use jiff::{SignedDuration, Timestamp};

use super::fate::{Ending, Fate};
use crate::domain::approval::{AtAws, Decided};
use crate::domain::decision::Verdict;
use crate::domain::details::short;
use crate::domain::text::Clipped;
use crate::store::approvals::{Approval, Closing};

/// How far a failure may lie before the deadline and still be the deadline: AWS gives it in minutes.
const DEADLINE_IS_ABOUT: SignedDuration = SignedDuration::from_mins(2);
/// How much of a summary from AWS is kept.
const MAX_SUMMARY: usize = 4096;

/// `None`: the request still waits.
pub(super) fn closing(approval: &Approval, ending: &Ending, now: Timestamp) -> Option<Closing> {
    let at = ending.at.unwrap_or(now);
    let ended = |at_aws, why: Option<String>| {
        Some(Closing { at_aws, closed_at: at, closed_why: why, decided: None, decided_by: None, decided_summary: None })
    };
    match &ending.fate {
        Fate::Open => None,
        Fate::Approved { summary, by } => Some(elsewhere(Verdict::Approved, at, summary.as_deref(), by.as_deref())),
        Fate::Rejected { summary, by } => Some(elsewhere(Verdict::Rejected, at, summary.as_deref(), by.as_deref())),
        Fate::Failed { .. } if at >= approval.expires_at - DEADLINE_IS_ABOUT => {
            ended(AtAws::Expired, Some("nobody answered in time".into()))
        }
        Fate::Failed { .. } => {
            ended(AtAws::Gone, Some("failed at AWS; not known whether it was rejected or expired".into()))
        }
        Fate::Abandoned => ended(AtAws::Stopped, Some("the run was stopped".into())),
        Fate::Superseded => ended(AtAws::Superseded, Some("a newer run took its place".into())),
        Fate::Gone { why } => ended(AtAws::Gone, Some(short(why))),
    }
}

/// The end of an approval that was decided elsewhere. What AWS says is cut to what a record holds.
#[must_use]
pub fn elsewhere(verdict: Verdict, at: Timestamp, summary: Option<&str>, by: Option<&str>) -> Closing {
    Closing {
        at_aws: match verdict {
            Verdict::Approved => AtAws::Approved,
            Verdict::Rejected => AtAws::Rejected,
        },
        closed_at: at,
        closed_why: None,
        decided: Some(Decided::Elsewhere),
        decided_by: by.map(short),
        decided_summary: summary.map(|text| Clipped::new(text, MAX_SUMMARY).text),
    }
}
