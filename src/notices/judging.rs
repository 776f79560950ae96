//! Whether something is worth telling somebody now, by how it stands and what they may and want by now.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::access::right::{Rights, TAGS_LAST};
use crate::domain::approval::AtAws;
use crate::domain::notices::{Kind, News, Why};
use crate::domain::people::Role;
use crate::store::notices::pending::{ApprovalNow, Pending};
use crate::store::notices::people::Reachable;

/// What somebody decided here just now is waited for: it may come to nothing.
const SETTLES: SignedDuration = SignedDuration::from_secs(60);

/// What is done about something that somebody was to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// With the name of whose place they stand in, if they do.
    Tell(Option<String>),
    Later(Timestamp),
    Drop,
}

/// Somebody, with what they may do.
pub(super) struct Person<'a> {
    pub reader: &'a Reachable,
    pub rights: &'a Rights,
    pub zone: &'a TimeZone,
    pub now: Timestamp,
}

impl Person<'_> {
    pub(super) fn judge(&self, pending: &Pending) -> Fate {
        let Some(for_whom) = self.may_be_told(pending) else { return Fate::Drop };
        if !self.reader.choices.want(pending.kind) || !self.still_holds(pending) {
            return Fate::Drop;
        }
        let expires = pending.approval.as_ref().map(|approval| approval.expires_at);
        let news = News { kind: pending.kind, due: pending.due, expires };
        let when = self.reader.choices.when(news, self.zone, self.now);
        if when > self.now {
            return Fate::Later(when);
        }
        if pending.kind.asks() && pending.approval.as_ref().is_some_and(|approval| approval.is_being_decided) {
            return Fate::Later(self.now.checked_add(SETTLES).unwrap_or(Timestamp::MAX));
        }
        Fate::Tell(for_whom)
    }

    /// None: it is none of theirs any more.
    fn may_be_told(&self, pending: &Pending) -> Option<Option<String>> {
        match pending.why {
            Why::Decider if self.has(Role::Approver) => {
                let approval = pending.approval.as_ref()?;
                let lately = approval.tags.as_ref().filter(|(_, read_at)| *read_at >= self.now - TAGS_LAST);
                let right = self.rights.find(&approval.gate, lately.map(|(tags, _)| tags))?;
                Some(right.lent.map(|lender| lender.name))
            }
            Why::Starter if !self.reader.roles.is_empty() => Some(None),
            Why::Escalated if pending.group.is_some() && !self.reader.roles.is_empty() => Some(None),
            Why::Admin if self.has(Role::Admin) => Some(None),
            _ => None,
        }
    }

    fn has(&self, role: Role) -> bool {
        self.reader.roles.iter().any(|name| name == role.name())
    }

    /// Whether it still is as the notice says.
    fn still_holds(&self, pending: &Pending) -> bool {
        let approval = |holds: &dyn Fn(&ApprovalNow) -> bool| pending.approval.as_ref().is_some_and(holds);
        match pending.kind {
            Kind::Waiting | Kind::HalfTime | Kind::Escalated | Kind::LastHour => {
                approval(&|it| it.at_aws == AtAws::Open && it.expires_at > self.now)
            }
            Kind::Decided | Kind::Expired | Kind::Ended => approval(&|it| it.at_aws != AtAws::Open),
            Kind::Blind => pending.blind_since == Some(pending.at),
            Kind::Seen => true,
        }
    }
}
