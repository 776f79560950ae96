//! The hints that have come and not been followed yet, by pipeline. However many come, a pipeline is looked at once in two
//! seconds; a hint that comes after a look began causes one more, because the look may have been too early for it (U-08). Pure:
//! the caller says what time it is.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::message::Deadline;
use crate::codepipeline::queue::Receipt;
use crate::domain::ids::PipelineName;
use crate::watcher::APART;

/// After a look that came to nothing: this, then twice as long …
const FIRST_RETRY: SignedDuration = SignedDuration::from_secs(2);
const LAST_RETRY: SignedDuration = SignedDuration::from_secs(60);
/// Nothing is due later than this, unless a clock was put back.
const LATEST: SignedDuration = SignedDuration::from_secs(2 * 60);
/// With so many pipelines to look at no more are called for. Messages are bounded by what is received.
const MOST_PIPELINES: usize = 2_000;

/// The messages whose pipeline is to be looked at, by their ids.
pub(super) type Messages = BTreeMap<String, Kept>;

/// What is kept of a message: what deletes it, of which the newest does, and the deadline it told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub receipt: Receipt,
    pub deadline: Option<Deadline>,
}

/// One pipeline to be looked at, and the messages that are done with when that is done.
#[derive(Debug)]
pub(super) struct Work {
    pub pipeline: PipelineName,
    pub messages: Messages,
}

/// What is held for one source.
#[derive(Debug, Default)]
pub(super) struct Held {
    pipelines: BTreeMap<PipelineName, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    messages: Messages,
    /// Hints that are in no queue, and come once.
    called: bool,
    looking: bool,
    failures: u32,
    due: Timestamp,
}

impl Waiting {
    fn wants_a_look(&self) -> bool {
        self.called || !self.messages.is_empty()
    }

    fn is_due(&self, now: Timestamp) -> bool {
        self.due <= now || self.due.duration_since(now) > LATEST
    }
}

impl Held {
    /// Takes in a hint, with the message it came in, which is to be deleted.
    pub(super) fn take_in(&mut self, pipeline: PipelineName, (id, kept): (String, Kept), now: Timestamp) {
        self.forget_idle(now);
        self.waiting(pipeline, now).messages.insert(id, kept);
    }

    /// Takes in a hint that comes once. False: there are too many already.
    pub(super) fn call(&mut self, pipeline: PipelineName, now: Timestamp) -> bool {
        self.forget_idle(now);
        let has_room = self.pipelines.len() < MOST_PIPELINES || self.pipelines.contains_key(&pipeline);
        if has_room {
            self.waiting(pipeline, now).called = true;
        }
        has_room
    }

    fn waiting(&mut self, pipeline: PipelineName, now: Timestamp) -> &mut Waiting {
        let fresh = || Waiting { messages: Messages::new(), called: false, looking: false, failures: 0, due: now };
        self.pipelines.entry(pipeline).or_insert_with(fresh)
    }

    fn forget_idle(&mut self, now: Timestamp) {
        self.pipelines.retain(|_, it| it.wants_a_look() || it.looking || !it.is_due(now));
    }

    /// The next pipeline whose time has come.
    pub(super) fn begin(&mut self, now: Timestamp) -> Option<Work> {
        let due = self.pipelines.iter_mut().filter(|(_, it)| it.wants_a_look() && !it.looking && it.is_due(now));
        let (pipeline, waiting) = due.min_by_key(|(_, waiting)| waiting.due)?;
        waiting.looking = true;
        waiting.called = false;
        waiting.due = now + APART;
        Some(Work { pipeline: pipeline.clone(), messages: std::mem::take(&mut waiting.messages) })
    }

    /// The look was taken and is written down.
    pub(super) fn done(&mut self, work: &Work) {
        if let Some(waiting) = self.pipelines.get_mut(&work.pipeline) {
            waiting.looking = false;
            waiting.failures = 0;
        }
    }

    /// The look was not taken, because somebody else took one a moment ago.
    pub(super) fn too_soon(&mut self, work: Work, now: Timestamp) {
        self.put_back(work, |waiting| waiting.due = now + APART);
    }

    /// The look came to nothing; it is tried again, later each time. `fraction` (0 to 1) keeps replicas apart.
    pub(super) fn failed(&mut self, work: Work, now: Timestamp, fraction: f64) {
        self.put_back(work, |waiting| {
            let wait = (FIRST_RETRY * (1_i32 << waiting.failures.min(8))).min(LAST_RETRY);
            let jitter = SignedDuration::from_secs_f64(wait.as_secs_f64() * 0.5 * fraction);
            waiting.failures = waiting.failures.saturating_add(1);
            waiting.due = now + wait + jitter;
        });
    }

    fn put_back(&mut self, work: Work, delay: impl FnOnce(&mut Waiting)) {
        let Some(waiting) = self.pipelines.get_mut(&work.pipeline) else { return };
        waiting.looking = false;
        // Without a message there is nothing but this to remember it by.
        waiting.called |= work.messages.is_empty();
        for (id, kept) in work.messages {
            // A message that came again meanwhile has a newer receipt.
            waiting.messages.entry(id).or_insert(kept);
        }
        delay(waiting);
    }

    /// How long until the next look is due that is not under way.
    pub(super) fn until_next(&self, now: Timestamp) -> Option<SignedDuration> {
        let waiting = self.pipelines.values().filter(|it| it.wants_a_look() && !it.looking);
        let left = |it: &Waiting| if it.is_due(now) { SignedDuration::ZERO } else { it.due.duration_since(now) };
        waiting.map(left).min()
    }

    /// Whoever looked did not live to say what came of it. The messages come again.
    pub(super) fn nobody_looks(&mut self) {
        self.pipelines.values_mut().for_each(|waiting| waiting.looking = false);
    }

    /// How many messages wait for a look.
    pub(super) fn messages(&self) -> usize {
        self.pipelines.values().map(|waiting| waiting.messages.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::UNIX_EPOCH;

    fn at(millis: i64) -> Timestamp {
        START + SignedDuration::from_millis(millis)
    }

    fn shop() -> PipelineName {
        PipelineName::parse("shop").unwrap()
    }

    fn next(held: &Held, now: Timestamp) -> Option<Timestamp> {
        held.until_next(now).map(|left| now + left)
    }

    fn kept(receipt: &str) -> Kept {
        Kept { receipt: Receipt::new(receipt), deadline: None }
    }

    fn message(id: &str) -> (String, Kept) {
        (id.to_owned(), kept("first"))
    }

    #[test]
    fn a_thousand_hints_in_ten_seconds_are_six_looks_at_most() {
        // U-08
        let (mut held, mut looks, mut deleted) = (Held::default(), Vec::new(), 0);
        for number in 0..1_000 {
            let now = at(number * 10);
            held.take_in(shop(), message(&number.to_string()), now);
            if let Some(work) = held.begin(now) {
                looks.push(now);
                deleted += work.messages.len();
                held.done(&work);
            }
        }
        let last = held.begin(next(&held, at(10_000)).unwrap()).unwrap();
        assert!(looks.len() <= 5 && looks.windows(2).all(|pair| pair[1].duration_since(pair[0]) >= APART), "{looks:?}");
        assert_eq!(deleted + last.messages.len(), 1_000, "none is forgotten");
    }

    #[test]
    fn a_hint_that_comes_during_a_look_causes_one_more_when_the_two_seconds_are_over() {
        let mut held = Held::default();
        held.take_in(shop(), message("a"), at(0));
        let first = held.begin(at(0)).unwrap();
        held.take_in(shop(), message("b"), at(100));
        held.take_in(shop(), message("c"), at(200));
        assert!(held.begin(at(5_000)).is_none(), "one look at a time");
        held.done(&first);
        assert!(held.begin(at(1_999)).is_none());
        assert_eq!(next(&held, at(1_999)), Some(at(2_000)));
        let second = held.begin(at(2_000)).unwrap();
        assert_eq!(second.messages.keys().collect::<Vec<_>>(), ["b", "c"]);
        held.done(&second);
        assert_eq!((next(&held, at(2_000)), held.messages()), (None, 0));
    }

    #[test]
    fn a_look_that_came_to_nothing_is_taken_again_ever_later_and_keeps_its_messages() {
        let mut held = Held::default();
        held.take_in(shop(), message("a"), at(0));
        let (mut now, mut pauses) = (at(0), Vec::new());
        for _ in 0..7 {
            let work = held.begin(now).unwrap();
            held.failed(work, now, 0.0);
            let next = next(&held, now).unwrap();
            pauses.push(next.duration_since(now).as_secs());
            now = next;
        }
        assert_eq!(pauses, [2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(held.begin(now).unwrap().messages["a"], kept("first"));
    }

    #[test]
    fn a_message_that_comes_again_is_deleted_by_its_newest_receipt() {
        let mut held = Held::default();
        held.take_in(shop(), message("a"), at(0));
        let work = held.begin(at(0)).unwrap();
        held.take_in(shop(), ("a".into(), kept("second")), at(1));
        held.failed(work, at(2), 1.0);
        assert_eq!(held.messages(), 1);
        assert_eq!(held.begin(at(60_000)).unwrap().messages["a"], kept("second"));
    }

    #[test]
    fn a_clock_that_is_put_back_holds_up_nobody() {
        let mut held = Held::default();
        held.take_in(shop(), message("a"), at(3_600_000));
        let work = held.begin(at(3_600_000)).unwrap();
        held.failed(work, at(3_600_000), 1.0);
        assert_eq!(next(&held, at(0)), Some(at(0)), "not in an hour");
        assert!(held.begin(at(0)).is_some());
    }

    #[test]
    fn calls_for_ever_more_pipelines_are_refused_and_one_for_a_pipeline_that_waits_is_not() {
        let mut held = Held::default();
        let name = |number: usize| PipelineName::parse(format!("p{number}")).unwrap();
        assert!((0..MOST_PIPELINES).all(|number| held.call(name(number), at(0))));
        assert!(!held.call(name(MOST_PIPELINES), at(0)) && held.call(name(0), at(0)));
        let work = held.begin(at(0)).unwrap();
        held.done(&work);
        assert!(held.call(name(MOST_PIPELINES), at(2_000)), "there is room again");
    }

    #[test]
    fn a_hint_without_a_message_is_not_forgotten_by_a_look_that_came_to_nothing() {
        let mut held = Held::default();
        assert!(held.call(shop(), at(0)));
        let work = held.begin(at(0)).unwrap();
        held.too_soon(work, at(0));
        let work = held.begin(at(2_000)).unwrap();
        held.done(&work);
        assert_eq!(next(&held, at(2_000)), None);
    }

    #[test]
    fn pipelines_that_nothing_is_said_of_are_forgotten() {
        let mut held = Held::default();
        for number in 0..100 {
            held.take_in(PipelineName::parse(format!("p{number}")).unwrap(), message("a"), at(0));
        }
        while let Some(work) = held.begin(at(0)) {
            held.done(&work);
        }
        held.take_in(shop(), message("a"), at(2_000));
        assert_eq!(held.pipelines.len(), 1);
    }
}
