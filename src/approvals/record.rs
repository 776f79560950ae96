//! What the records of an approval say, member by member. The names are part of the record's format: add to them, never
//! rename or reorder. The first members are also the search columns.

use serde::Serialize;
use sqlx::PgConnection;

use crate::audit::{self, Kind, Payload};
use crate::domain::approval::{AtAws, Decided};
use crate::domain::ids::{Gate, SourceName};
use crate::domain::shown::Shown;
use crate::random::Random;
use crate::store::approvals::{Approval, Closing};

/// Who acts when the watcher notices something: nobody signed in.
const SYSTEM: &str = "system";

#[derive(Debug, Serialize)]
struct About<'a> {
    #[serde(flatten)]
    gate: &'a Gate,
    execution: &'a str,
    approval: String,
}

impl<'a> About<'a> {
    fn of(approval: &'a Approval) -> Self {
        Self { gate: &approval.gate, execution: approval.execution.as_str(), approval: approval.id.to_string() }
    }
}

#[derive(Debug, Serialize)]
struct Opened<'a> {
    #[serde(flatten)]
    about: About<'a>,
    mode: &'a str,
    opened_at: String,
    expires_at: String,
    expires_about: bool,
    answerable: bool,
    fingerprint: String,
    shown: &'a Shown,
}

#[derive(Debug, Serialize)]
struct Closed<'a> {
    #[serde(flatten)]
    about: About<'a>,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    closed_at: String,
}

#[derive(Debug, Serialize)]
struct DecidedElsewhere<'a> {
    #[serde(flatten)]
    about: About<'a>,
    verdict: &'a str,
    outcome: &'a str,
    /// The ARN that answered; absent where AWS names nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<&'a str>,
    decided_at: String,
}

#[derive(Debug, Serialize)]
struct Sight<'a> {
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// A record that could not be written: what it was to tell must not happen either.
pub(super) type Trouble = sqlx::Error;

async fn append(conn: &mut PgConnection, random: &Random, kind: Kind, fields: &impl Serialize) -> Result<(), Trouble> {
    let payload = Payload::new(random, fields).map_err(|bad| sqlx::Error::Encode(Box::new(bad)))?;
    match audit::append(conn, kind, SYSTEM, &payload).await {
        Ok(_) => Ok(()),
        Err(audit::AppendError::Database(error)) => Err(error),
        Err(refused) => Err(sqlx::Error::Encode(Box::new(refused))),
    }
}

pub(super) async fn opened(conn: &mut PgConnection, random: &Random, approval: &Approval) -> Result<(), Trouble> {
    let fields = Opened {
        about: About::of(approval),
        mode: approval.mode.name(),
        opened_at: approval.opened_at.to_string(),
        expires_at: approval.expires_at.to_string(),
        expires_about: approval.expires_about,
        answerable: approval.details.answerable,
        fingerprint: approval.fingerprint.hex(),
        shown: &approval.shown,
    };
    append(conn, random, Kind::ApprovalOpened, &fields).await
}

/// The end of an approval: a decision made elsewhere has a kind of its own, because the history lists it.
pub(super) async fn closed(
    conn: &mut PgConnection,
    random: &Random,
    approval: &Approval,
    closing: &Closing,
) -> Result<(), Trouble> {
    if closing.decided == Some(Decided::Elsewhere) {
        return decided_elsewhere(conn, random, approval, closing).await;
    }
    let fields = Closed {
        about: About::of(approval),
        outcome: closing.at_aws.name(),
        reason: closing.closed_why.as_deref(),
        closed_at: closing.closed_at.to_string(),
    };
    append(conn, random, Kind::ApprovalClosed, &fields).await
}

pub(super) async fn decided_elsewhere(
    conn: &mut PgConnection,
    random: &Random,
    approval: &Approval,
    closing: &Closing,
) -> Result<(), Trouble> {
    let fields = DecidedElsewhere {
        about: About::of(approval),
        verdict: if closing.at_aws == AtAws::Rejected { "rejected" } else { "approved" },
        outcome: "elsewhere",
        by: closing.decided_by.as_deref(),
        summary: closing.decided_summary.as_deref(),
        decided_at: closing.closed_at.to_string(),
    };
    append(conn, random, Kind::ApprovalDecidedElsewhere, &fields).await
}

pub(super) async fn blind(
    conn: &mut PgConnection,
    random: &Random,
    source: &SourceName,
    why: &str,
) -> Result<(), Trouble> {
    append(conn, random, Kind::SourceBlind, &Sight { source: source.as_str(), reason: Some(why) }).await
}

pub(super) async fn seen(conn: &mut PgConnection, random: &Random, source: &SourceName) -> Result<(), Trouble> {
    append(conn, random, Kind::SourceSeen, &Sight { source: source.as_str(), reason: None }).await
}
