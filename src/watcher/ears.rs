//! Whether what AWS announces of a source can be relied on. While it can, the source's sweep is only the safety net, and slower;
//! as soon as it cannot, the source is swept as if nothing were announced, and the page says so. Pure: the caller says what time
//! it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::domain::ids::PipelineName;

/// A request that waits for so long without having been announced was not.
const ANNOUNCED_WITHIN: SignedDuration = SignedDuration::from_secs(60);
/// After one that was not, nothing is relied on for so long.
const DISTRUST: SignedDuration = SignedDuration::from_hours(1);
/// Of so many pipelines it is remembered when something was announced last.
const REMEMBERED: usize = 2_000;
/// For the page.
const UNANNOUNCED: &str = "An approval waited for more than a minute until a sweep found it; no announcement had led to it. See \
    whether every gate is announced: by a rule of EventBridge, or by the SNS topic of the gate, each allowed by the queue's policy.";

/// One source's.
#[derive(Debug, Default)]
pub(super) struct Ears(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when announcements are received.
    heard_since: Option<Timestamp>,
    /// Since when, and why, they are not, where they should be.
    deaf: Option<(Timestamp, String)>,
    /// When something was last announced of each pipeline.
    announced: BTreeMap<PipelineName, Timestamp>,
    /// The first and the last request that was not announced, of those that keep this from being relied on.
    unannounced: Option<(Timestamp, Timestamp)>,
}

impl Ears {
    /// Announcements are received.
    pub(super) fn hear(&self, now: Timestamp) {
        let mut state = self.lock();
        state.heard_since.get_or_insert(now);
        state.deaf = None;
    }

    /// They are not, for this reason; none where nobody listens any more. True: they were.
    pub(super) fn close(&self, why: Option<String>, now: Timestamp) -> bool {
        let mut state = self.lock();
        if let Some(why) = why {
            let since = state.deaf.as_ref().map_or(now, |(since, _)| *since);
            state.deaf = Some((since, why));
        }
        state.heard_since.take().is_some()
    }

    /// Something was announced of a pipeline.
    pub(super) fn note(&self, pipeline: &PipelineName, now: Timestamp) {
        let announced = &mut self.lock().announced;
        if announced.len() >= REMEMBERED && !announced.contains_key(pipeline) {
            let oldest = announced.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            oldest.map(|name| announced.remove(&name));
        }
        announced.insert(pipeline.clone(), now);
    }

    /// A sweep found a request that had opened then. Whatever waited when listening began may have been announced before, and
    /// what was announced may not have been looked at yet. True: nothing is relied on any more, which is news.
    pub(super) fn found(&self, pipeline: &PipelineName, opened_at: Timestamp, now: Timestamp) -> bool {
        let mut state = self.lock();
        let was_heard = state.heard_since.is_some_and(|since| since <= opened_at);
        // AWS's clock is not ours.
        let announced = state.announced.get(pipeline);
        let was_announced = announced.is_some_and(|at| opened_at.duration_since(*at) < ANNOUNCED_WITHIN);
        if !was_heard || was_announced || now.duration_since(opened_at) <= ANNOUNCED_WITHIN {
            return false;
        }
        let distrusted = state.distrusted_since(now);
        state.unannounced = Some((distrusted.unwrap_or(now), now));
        distrusted.is_none()
    }

    /// Whether a sweep can wait.
    pub(super) fn are_relied_on(&self, now: Timestamp) -> bool {
        let state = self.lock();
        state.heard_since.is_some() && state.distrusted_since(now).is_none()
    }

    /// Since when, and why, the source is swept as if nothing were announced although it has a queue.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<(Timestamp, String)> {
        let state = self.lock();
        let distrusted = || state.distrusted_since(now).map(|since| (since, UNANNOUNCED.to_owned()));
        state.deaf.clone().or_else(distrusted)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn distrusted_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.unannounced.filter(|(_, last)| now.duration_since(*last) < DISTRUST).map(|(first, _)| first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    #[test]
    fn nothing_is_relied_on_before_it_is_heard_nor_after() {
        let ears = Ears::default();
        assert!(!ears.are_relied_on(at(0)) && ears.trouble(at(0)).is_none());
        ears.hear(at(0));
        assert!(ears.are_relied_on(at(1)));
        assert!(ears.close(Some("the network".into()), at(2)), "news");
        assert!(!ears.close(Some("the queue".into()), at(3)));
        assert_eq!(ears.trouble(at(4)), Some((at(2), "the queue".into())), "since the first, why by the last");
        assert!(!ears.are_relied_on(at(4)));
        ears.hear(at(5));
        assert!(ears.are_relied_on(at(5)) && ears.trouble(at(5)).is_none());
        assert!(ears.close(None, at(6)));
        assert!(!ears.are_relied_on(at(6)) && ears.trouble(at(6)).is_none(), "nobody listens, and nothing is wrong");
    }

    #[test]
    fn a_request_that_was_not_announced_takes_the_trust_away_for_an_hour() {
        let ears = Ears::default();
        ears.hear(at(100));
        let shop = &PipelineName::parse("shop").unwrap();
        assert!(!ears.found(shop, at(99), at(1_000)));
        assert!(ears.are_relied_on(at(1_000)), "it opened before anybody listened");
        assert!(!ears.found(shop, at(940), at(1_000)));
        assert!(ears.are_relied_on(at(1_000)), "the sweep may have been quicker");
        assert!(ears.found(shop, at(939), at(1_000)), "news");
        assert!(!ears.are_relied_on(at(1_000)));
        assert!(!ears.found(shop, at(2_000), at(2_100)), "no news");
        let (since, why) = ears.trouble(at(5_000)).unwrap();
        assert!(since == at(1_000) && why.contains("no announcement had led to it"));
        assert!(!ears.are_relied_on(at(5_699)) && ears.are_relied_on(at(5_700)), "an hour after the last");
        assert!(ears.trouble(at(5_700)).is_none());
        assert!(ears.found(shop, at(9_000), at(9_061)));
        assert_eq!(ears.trouble(at(9_061)).unwrap().0, at(9_061), "another time");
    }

    #[test]
    fn what_was_announced_and_not_looked_at_in_time_takes_no_trust_away() {
        let (ears, name) = (Ears::default(), |number: usize| PipelineName::parse(format!("p{number}")).unwrap());
        ears.hear(at(0));
        ears.note(&name(1), at(995));
        assert!(!ears.found(&name(1), at(1_000), at(5_000)), "AWS's clock is ahead of ours");
        assert!(ears.found(&name(1), at(1_055), at(5_000)), "that was announced of another request");
        (0..3_000).for_each(|number| ears.note(&name(number), at(number as i64)));
        assert_eq!(ears.lock().announced.len(), REMEMBERED);
        assert!(!ears.lock().announced.contains_key(&name(999)) && ears.lock().announced.contains_key(&name(1_000)));
    }
}
