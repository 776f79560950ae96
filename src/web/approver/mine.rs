//! Which of what waits is whose to decide: marks on the queue's cards, and the choice between everything and only one's own.

use askama::Template;
use askama::filters::HtmlSafe;
use jiff::Timestamp;

use crate::access::right::{Rights, TAGS_LAST};
use crate::domain::approval::Standing;
use crate::domain::text::visible;
use crate::store::queue::Waiting;
use crate::web::parts::Moment;

/// What is said about one card.
#[derive(Debug, Clone, Template)]
#[template(path = "approver/mine.html")]
pub enum Mark {
    /// Nothing: everything is theirs, or nothing can be.
    Unsaid,
    Own,
    /// In somebody's place, until then.
    For {
        name: String,
        until: Moment,
    },
    /// A grant about tags may let them, and the tags were not read lately.
    NotKnown,
    Others,
}

impl HtmlSafe for Mark {}

impl Mark {
    /// Whether it is theirs, for all that is known.
    #[must_use]
    pub fn is_mine(&self) -> bool {
        matches!(self, Self::Own | Self::For { .. })
    }

    fn of(waiting: &Waiting, rights: &Rights, now: Timestamp) -> Self {
        let gate = &waiting.shown.gate;
        let lately = waiting.tags.as_ref().filter(|(_, read_at)| *read_at >= now - TAGS_LAST);
        let tags = lately.map(|(tags, _)| tags);
        match rights.find(gate, tags) {
            Some(right) => right.lent.map_or(Self::Own, |lender| Self::For {
                name: visible(&lender.name),
                until: Moment::new(lender.until, now),
            }),
            None if tags.is_none() && rights.may_hang_on_tags(gate) => Self::NotKnown,
            None => Self::Others,
        }
    }
}

/// What the person who looks wants to see, and may decide.
#[derive(Debug, Clone)]
pub enum Scope {
    /// Everything that waits, without marks: all of it is theirs, or none can be.
    Plain,
    /// Everything that waits, each with whose it is.
    Marked(Rights),
    /// Only what is theirs.
    Mine(Rights),
}

impl Scope {
    /// An approver who may decide some gates and not all comes for those; the others are one choice away. Whoever may decide
    /// everything, or nothing, sees everything.
    #[must_use]
    pub fn of(rights: Option<Rights>, show: &str) -> Self {
        match rights {
            Some(rights) if !rights.are_everything() && !rights.are_nothing() => {
                if show == "all" {
                    Self::Marked(rights)
                } else {
                    Self::Mine(rights)
                }
            }
            _ => Self::Plain,
        }
    }

    /// Whether there is a choice to offer.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !matches!(self, Self::Plain)
    }

    #[must_use]
    pub fn is_mine(&self) -> bool {
        matches!(self, Self::Mine(_))
    }

    #[must_use]
    pub fn mark(&self, waiting: &Waiting, now: Timestamp) -> Mark {
        match self {
            Self::Plain => Mark::Unsaid,
            Self::Marked(rights) | Self::Mine(rights) => Mark::of(waiting, rights, now),
        }
    }

    /// Whether this approval is to be listed. What is decided already is nobody's to decide, and stays.
    #[must_use]
    pub fn takes(&self, waiting: &Waiting, now: Timestamp) -> bool {
        match self {
            Self::Plain | Self::Marked(_) => true,
            Self::Mine(_) => {
                let mark = self.mark(waiting, now);
                mark.is_mine() || (matches!(mark, Mark::NotKnown) && waiting.standing() == Standing::Open)
            }
        }
    }
}
