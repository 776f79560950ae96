//! What a message tells of, looked up when the message is written: for mails, push and channels alike. Owns that one approval
//! is asked about once in a message, and that what is beyond a message's room is only counted.
//!
//! It must never decide whom something is told, or how it is worded.

use std::collections::HashMap;

use jiff::Timestamp;
use sqlx::PgConnection;

use crate::domain::ids::{ApprovalId, SourceName};
use crate::domain::notices::Kind;
use crate::store::approvals::{self, Approval};
use crate::store::sources;

/// What something that is to be told is about.
#[derive(Debug, Clone, Copy)]
pub enum About<'a> {
    Approval(ApprovalId),
    /// A source, and since when it could not be read.
    Source(&'a SourceName, Timestamp),
}

/// The same with what is told of it.
#[derive(Debug, Clone)]
pub enum Subject {
    Approval(Box<Approval>),
    Source {
        name: SourceName,
        since: Timestamp,
        /// Why it cannot be read now. It may be read again by now.
        why: Option<String>,
    },
    /// There are too many: it is only counted.
    NotShown,
}

/// Looks the first `shown` of them up, in their order; the rest is only counted. `None`: the approval is gone.
///
/// # Errors
/// Whatever the database says.
pub async fn look_up(conn: &mut PgConnection, about: &[About<'_>], shown: usize) -> sqlx::Result<Vec<Option<Subject>>> {
    let of_approval = |about: &About<'_>| match about {
        About::Approval(id) => Some(*id),
        About::Source(..) => None,
    };
    let ids: Vec<ApprovalId> = about.iter().take(shown).filter_map(of_approval).collect();
    let found = approvals::list_of_ids(conn, &ids).await?;
    let found: HashMap<ApprovalId, Approval> = found.into_iter().map(|approval| (approval.id, approval)).collect();
    let mut subjects = Vec::with_capacity(about.len());
    for (at, about) in about.iter().enumerate() {
        subjects.push(match about {
            _ if at >= shown => Some(Subject::NotShown),
            About::Approval(id) => found.get(id).map(|approval| Subject::Approval(Box::new(approval.clone()))),
            About::Source(name, since) => {
                let why = sources::find(conn, name).await?.and_then(|source| source.blind).map(|(_, why)| why);
                Some(Subject::Source { name: (*name).clone(), since: *since, why })
            }
        });
    }
    Ok(subjects)
}

/// An approval is asked about once in a message, by what is most pressing, where it was asked about first. `asks` says of
/// what, and how, something asks.
pub fn once_each<T>(tell: Vec<T>, asks: impl Fn(&T) -> Option<(ApprovalId, Kind)>) -> Vec<T> {
    let mut asked: HashMap<ApprovalId, (usize, Kind)> = HashMap::new();
    let mut kept: Vec<T> = Vec::with_capacity(tell.len());
    for one in tell {
        let Some((approval, kind)) = asks(&one) else {
            kept.push(one);
            continue;
        };
        match asked.get(&approval) {
            Some((_, before)) if *before >= kind => continue,
            Some((at, _)) => kept[*at] = one,
            None => kept.push(one),
        }
        let at = asked.get(&approval).map_or(kept.len() - 1, |(at, _)| *at);
        asked.insert(approval, (at, kind));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    use uuid::Uuid;

    #[test]
    fn an_approval_is_asked_about_once_where_it_came_first_by_what_is_most_pressing() {
        let [shop, blog] = [1, 2].map(|id| ApprovalId(Uuid::from_u128(id)));
        let all = vec![
            (shop, Kind::Waiting),
            (blog, Kind::LastHour),
            (shop, Kind::LastHour),
            (shop, Kind::HalfTime),
            (shop, Kind::Decided),
            (blog, Kind::Waiting),
        ];
        let kept = once_each(all, |one| Some(*one).filter(|(_, kind)| kind.asks()));
        assert_eq!(kept, [(shop, Kind::LastHour), (blog, Kind::LastHour), (shop, Kind::Decided)]);
    }
}
