//! What kinds of records and members of payloads are called on pages. Machine names stay beside them: they are what an
//! auditor finds again in an export.

use crate::domain::people::Roles;

/// A kind of record in words. A kind this release does not know reads as its own name.
#[must_use]
pub fn of_kind(kind: &str) -> String {
    let words = match kind {
        "decision.intended" => "Decision made",
        "decision.sent" => "Sent to AWS",
        "decision.accepted" => "Accepted by AWS",
        "decision.refused" => "Refused by AWS",
        "decision.elsewhere" => "Somebody else's answer was first",
        "decision.stale" => "Came too late",
        "decision.unsure" => "AWS's answer is not known",
        "decision.lapsed" => "Not sent",
        "decision.requeued" => "Surely not applied; sent again",
        "decision.needs_person" => "Cannot be settled without a person",
        "decision.attempt_refused" => "Attempt to decide refused here",
        "approval.opened" => "Approval found waiting",
        "approval.decided_elsewhere" => "Decided outside Countersign",
        "approval.closed" => "No longer waiting",
        "group.created" => "Group made",
        "group.changed" => "Group changed",
        "group.removed" => "Group removed",
        "grant.given" => "Grant given",
        "grant.ended" => "Grant ended",
        "gate_option.set" => "Option of gates set",
        "gate_option.ended" => "Option of gates ended",
        "step_up.required" => "Gates ask for fresh proof",
        "step_up.lifted" => "Gates ask for fresh proof no longer",
        "escalation.made" => "A group is told of what nobody decides",
        "escalation.ended" => "A group is told no longer",
        "stand_in.named" => "Stand-in named",
        "stand_in.ended" => "Stand-in ended",
        "push.started" => "A browser is told what waits",
        "push.ended" => "A browser is told no longer",
        "mail.sent_again" => "Mail sent again",
        "channel.made" => "Channel made",
        "channel.changed" => "Channel changed",
        "channel.ended" => "Channel ended",
        "channel.tested" => "Channel tried with a test message",
        "channel.sent_again" => "Message to a channel sent again",
        other => return sentence(other),
    };
    words.to_owned()
}

/// A member of a payload in words.
#[must_use]
pub fn of_member(name: &str) -> String {
    let words = match name {
        "person" => "Account id",
        "name" => "Name",
        "email" => "E-mail",
        "action" => "Gate",
        "execution" => "Run",
        "action_execution" => "Action run",
        "approval" => "Approval id",
        "decision" => "Decision id",
        "session" => "Session mark",
        "signed_in" => "Signed in",
        "aws" => "AWS",
        "by" => "By",
        "code" => "Code",
        "intent" => "Record of the intent",
        "sent_summary" => "Summary as sent to AWS",
        "token_hash" => "SHA-256 of the approval token",
        "review_url" => "Review link",
        "sha256" => "SHA-256 of the whole",
        "whole" => "Cut; the whole had",
        "id" => "Id",
        "grant" => "Grant id",
        "lets" => "Lets them",
        "stand_in" => "Stand-in",
        "for" => "For account id",
        "for_name" => "For",
        "to_themselves" => "Given to themselves",
        "time_zone" => "Time zone",
        "mail" => "Mail id",
        "push_browser" => "Browser id",
        "url" => "Link",
        other => return sentence(other),
    };
    words.to_owned()
}

/// `password_changed.at` as `Password changed at`.
fn sentence(name: &str) -> String {
    let spaced = crate::domain::text::visible(&name.replace(['.', '_'], " "));
    let mut letters = spaced.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Whether these people may read a record of this kind. Approvers see what decisions are about; who signed in from where
/// is for auditors and admins (S-31: to others such a record does not exist).
#[must_use]
pub fn may_read(roles: Roles, kind: &str) -> bool {
    roles.auditor || roles.admin || (roles.approver && (kind.starts_with("decision.") || kind.starts_with("approval.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Kind;

    #[test]
    fn every_kind_reads_as_words() {
        for kind in Kind::ALL {
            let words = of_kind(kind.name());
            assert!(!words.contains(['.', '_']) && words.starts_with(|c: char| c.is_uppercase()), "{words}");
        }
        assert_eq!(of_kind("moon.landed"), "Moon landed");
        assert_eq!(of_member("approved_at"), "Approved at");
    }

    #[test]
    fn approvers_read_decisions_and_approvals_only() {
        let approver = Roles { approver: true, ..Roles::default() };
        let auditor = Roles { auditor: true, ..Roles::default() };
        assert!(may_read(approver, "decision.intended") && !may_read(approver, "session.started"));
        assert!(may_read(auditor, "session.started"));
        assert!(!may_read(Roles::default(), "decision.intended"));
    }
}
