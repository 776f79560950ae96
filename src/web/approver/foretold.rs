//! What the portal will do by itself, told to everybody who sees the approval, before it does it.

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::Timestamp;

use crate::access::unattended::Foretold;
use crate::web::parts::Moment;

/// That it is rejected if nobody decides, in a sentence.
#[derive(Debug, Clone, Template)]
#[template(path = "approver/foretold.html")]
pub enum RuleLine {
    At(Moment),
    /// It was due, and AWS could not be read yet.
    Late(Moment),
    /// A rule about tags may say so, and the tags were not read lately.
    NotKnown,
}

impl HtmlSafe for RuleLine {}

impl RuleLine {
    #[must_use]
    pub fn of(foretold: Foretold, now: Timestamp) -> Option<Self> {
        match foretold {
            Foretold::Never => None,
            Foretold::At(at) if at <= now => Some(Self::Late(Moment::new(at, now))),
            Foretold::At(at) => Some(Self::At(Moment::new(at, now))),
            Foretold::NotKnown => Some(Self::NotKnown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_late_is_told_as_late() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let say = |at: &str| RuleLine::of(Foretold::At(at.parse().unwrap()), now).unwrap().render().unwrap();
        assert!(say("2026-11-21T10:05:00Z").starts_with("Countersign rejects it at "));
        assert!(say("2026-11-21T09:59:00Z").starts_with("Nobody decided by "));
        assert!(RuleLine::of(Foretold::Never, now).is_none());
    }
}
