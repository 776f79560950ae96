//! A message to a program: JSON with what everybody who is signed in may read of an approval, and a signature over it and the time
//! it is sent. Never a token, and never a fingerprint: nobody decides with it. Members are added, never changed; what would break a
//! reader is another version.

use aws_lc_rs::hmac;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::message::Told;
use crate::approvals::subject::Subject;
use crate::approvals::words::{started, who};
use crate::domain::ids::DeliveryId;
use crate::domain::notices::Kind;
use crate::domain::shown::MAX_REVISIONS;
use crate::domain::text::{Clipped, link};
use crate::store::approvals::Approval;

/// Of the body, and of the signature.
const VERSION: u32 = 1;

/// The most characters of any text that others wrote: longer than what is kept of them.
const LONGEST: usize = 4_200;
/// Of what is a line.
const LINE: usize = 400;

/// What is told, under an id that stays the same however often it is sent.
pub(super) fn body(told: &Told, delivery: DeliveryId, address_of: impl Fn(&str) -> String) -> String {
    let mut body = json!({ "version": VERSION, "type": type_of(told.kind), "delivery": delivery });
    match &told.subject {
        Subject::Approval(approval) => {
            body["approval"] = of_approval(approval, &address_of(&format!("/approvals/{}", approval.id)));
        }
        Subject::Source { name, since, why } => {
            let why = why.as_deref().filter(|_| told.kind == Kind::Blind).map(|why| cut(why, LINE));
            body["source"] = json!({ "name": name.as_str(), "blind_since": since, "why": why });
        }
        Subject::NotShown => {}
    }
    body.to_string()
}

/// A message that says nothing, to see whether it arrives.
pub(super) fn test(delivery: DeliveryId) -> String {
    json!({ "version": VERSION, "type": "test", "delivery": delivery }).to_string()
}

/// `v1=` and HMAC-SHA256 over the time in seconds, a full stop, and the body.
pub(super) fn signature(secret: &[u8], at: Timestamp, body: &str) -> String {
    let mut signed = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    signed.update(format!("{}.", at.as_second()).as_bytes());
    signed.update(body.as_bytes());
    format!("v{VERSION}={}", hex::encode(signed.sign().as_ref()))
}

fn type_of(kind: Kind) -> String {
    let about = if kind.is_about_source() { "source" } else { "approval" };
    format!("{about}.{kind}")
}

fn of_approval(approval: &Approval, address: &str) -> Value {
    let shown = &approval.shown;
    let text = |text: &Clipped| cut(&text.text, LONGEST);
    let line = |text: &str| cut(text, LINE);
    let revisions: Vec<Value> = shown
        .revisions
        .iter()
        .take(MAX_REVISIONS)
        .map(|one| {
            let message = one.message.as_ref().map(|message| line(&message.text));
            json!({ "name": line(&one.name), "id": line(&one.id), "message": message, "author": one.author.as_deref().map(line) })
        })
        .collect();
    let review = shown.review_url.as_ref().filter(|url| url.whole.is_none());
    json!({
        "id": approval.id, "url": address, "source": shown.gate.source.as_str(), "account": shown.account,
        "region": shown.region, "pipeline": shown.gate.pipeline.as_str(), "stage": shown.gate.stage.as_str(),
        "gate": shown.gate.action.as_str(), "execution": line(&shown.execution), "revisions": revisions,
        "more_revisions": shown.more_revisions, "started": started(approval).as_deref().map(line), "comment": shown.comment.as_ref().map(text),
        "review_url": review.and_then(|url| link(&url.text)).map(|link| link.href).filter(|href| href.len() <= LONGEST), "opened_at": approval.opened_at,
        "expires_at": approval.expires_at, "expires_about": approval.expires_about, "at_aws": approval.at_aws.name(),
        "ended_at": approval.closed_at, "decided_by": approval.decided_by.as_deref().map(|by| line(&who(by))),
        "summary": approval.decided_summary.as_deref().map(|summary| cut(summary, LONGEST)),
        "why": approval.closed_why.as_deref().map(line),
    })
}

/// As it is, and no longer than so many characters: a message fits where it is kept whatever was written.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_what_anybody_would_work_out() {
        // printf '1795255200.{"version":1}' | openssl dgst -sha256 -hmac secret
        let at: Timestamp = "2026-11-21T10:00:00.9Z".parse().unwrap();
        assert_eq!(at.as_second(), 1_795_255_200);
        let signed = signature(b"secret", at, "{\"version\":1}");
        assert_eq!(signed, "v1=597185290979ec9bd2e56f43fbb375d06031681803d48fad4a3cc97e83b5d93a");
    }
}
