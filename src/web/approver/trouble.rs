//! Blindness is loud: what cannot be read, since when, why, and what to do, in sentences for the top of a page.

use jiff::{SignedDuration, Timestamp};

use crate::domain::text::visible;
use crate::store::queue::SourceSight;
use crate::web::display::{count, span};
use crate::web::parts::Moment;

/// Something that keeps the page from being the whole truth.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// `Source prod (111122223333, eu-west-1) cannot be read.`
    pub headline: String,
    pub since: Option<Moment>,
    /// The reason, in the words of whoever found out.
    pub why: Option<String>,
    /// What it means here, and what to do.
    pub so: String,
    /// Nothing of the source can be read, rather than a part.
    pub is_total: bool,
    /// Something may wait that is not shown.
    pub hides: bool,
}

/// What is wrong with the sources at `now`, in their order.
#[must_use]
pub fn list(sight: &[SourceSight], now: Timestamp, late: SignedDuration) -> Vec<Trouble> {
    sight.iter().flat_map(|source| of(source, now, late)).collect()
}

/// What is wrong with one source.
#[must_use]
pub fn of(source: &SourceSight, now: Timestamp, late: SignedDuration) -> Vec<Trouble> {
    let name = name_with_place(source);
    if !source.configured {
        return vec![Trouble {
            headline: format!("Source {name} is no longer configured."),
            since: None,
            why: None,
            so: "Its approvals are shown as they were last seen and cannot be decided here.".to_owned(),
            is_total: true,
            hides: true,
        }];
    }
    if let Some((since, why)) = &source.blind {
        return vec![Trouble {
            headline: format!("Source {name} cannot be read."),
            since: Some(Moment::new(*since, now)),
            why: Some(visible(why)),
            so: "Its approvals are shown as they were last seen; new ones cannot appear. Tell the operator if this lasts."
                .to_owned(),
            is_total: true,
            hides: true,
        }];
    }
    let mut found = Vec::new();
    if let Some(swept_at) = source.swept_at.filter(|at| now.duration_since(*at) > late) {
        found.push(Trouble {
            headline: format!("Source {name} was last read completely {} ago.", span(now.duration_since(swept_at))),
            since: None,
            why: None,
            so: "What is shown may be older than usual. If this lasts, tell the operator: the watcher may have stopped, or \
                 AWS asks it to slow down."
                .to_owned(),
            is_total: false,
            hides: true,
        });
    }
    if let Some((since, why)) = &source.deaf {
        found.push(Trouble {
            headline: format!("What AWS announces of source {name} cannot be relied on."),
            since: Some(Moment::new(*since, now)),
            why: Some(visible(why)),
            so: "Approvals appear when the source is next read through rather than at once; none is missed. If this lasts, tell \
                 the operator to look at the queue."
                .to_owned(),
            is_total: false,
            hides: false,
        });
    }
    if let Some(part) = &source.unreadable {
        let names: Vec<String> = part.names.iter().map(|name| visible(name)).collect();
        let and_more = if part.count > names.len() as u64 { ", …" } else { "" };
        found.push(Trouble {
            headline: format!("{} of source {name} cannot be read.", count(part.count, "pipeline", "pipelines")),
            since: Some(Moment::new(part.since, now)),
            why: Some(visible(&part.why)),
            so: format!(
                "Their approvals are shown as they were last seen; new ones cannot appear: {}{and_more}.",
                names.join(", ")
            ),
            is_total: false,
            hides: true,
        });
    }
    found
}

/// `prod (111122223333, eu-west-1)`, as far as known.
#[must_use]
pub fn name_with_place(source: &SourceSight) -> String {
    let place: Vec<&str> = [source.account.as_deref(), source.region.as_deref()].into_iter().flatten().collect();
    if place.is_empty() { source.name.clone() } else { format!("{} ({})", source.name, place.join(", ")) }
}
