//! Receiving from a source's queue: long polling, one batch after the other. A message is put aside, held until its pipeline
//! has been looked at, or left; what is left comes again, until SQS moves it to the dead-letter queue.

use std::collections::VecDeque;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use super::Listener;
use super::held::Kept;
use super::message::{self, Reading};
use super::status::{Hearing, add};
use crate::codepipeline::observed::ReadError;
use crate::codepipeline::queue::{LONGEST_WAIT, Message, Queue, Receipt};

/// With so many messages in hand no more are received until some are done with.
const MOST_HELD: usize = 1_000;
/// After so long without room for more the source is polled as if nothing were heard.
const PATIENCE: SignedDuration = SignedDuration::from_secs(30);
/// After a queue could not be read: this, then twice as long …
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(60);
/// The ids of the last messages that were complained about.
const REMEMBERED: usize = 1_000;
/// No more messages than this are complained about in a minute; all are counted.
const COMPLAINTS: usize = 20;

/// What has been complained about in the log already.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    messages: VecDeque<String>,
    lately: VecDeque<Timestamp>,
    looking: bool,
    deleting: bool,
}

impl Complaints {
    fn is_news(&mut self, id: &str, now: Timestamp) -> bool {
        let minute = SignedDuration::from_mins(1);
        while self.lately.front().is_some_and(|at| now.duration_since(*at) >= minute) {
            self.lately.pop_front();
        }
        if self.messages.iter().any(|known| known == id) || self.lately.len() >= COMPLAINTS {
            return false;
        }
        self.messages.push_back(id.to_owned());
        if self.messages.len() > REMEMBERED {
            self.messages.pop_front();
        }
        self.lately.push_back(now);
        true
    }

    pub(super) fn looking_works(&mut self) {
        self.looking = false;
    }

    /// True when that is news.
    pub(super) fn looking_fails(&mut self) -> bool {
        !std::mem::replace(&mut self.looking, true)
    }

    fn deleting_fails(&mut self, fails: bool) -> bool {
        let failed = std::mem::replace(&mut self.deleting, fails);
        fails && !failed
    }
}

/// Whether more comes than can be looked at.
#[derive(Debug, Default)]
struct Backlog {
    since: Option<Timestamp>,
}

impl Backlog {
    /// Takes in how many messages are in hand. True: they have been too many for long. What waits in the queue meanwhile is for
    /// the sweep to find.
    fn is_too_long(&mut self, held: usize, now: Timestamp) -> bool {
        if held >= MOST_HELD {
            self.since.get_or_insert(now);
        } else if held < MOST_HELD / 2 {
            self.since = None;
        }
        self.since.is_some_and(|since| now.duration_since(since) >= PATIENCE)
    }
}

/// Nobody receives: the watcher must not rest on it.
struct Deaf<'a>(&'a Listener);

impl Drop for Deaf<'_> {
    fn drop(&mut self) {
        self.0.watcher.is_deaf(&self.0.source, None, self.0.clock.now());
    }
}

impl Listener {
    pub(super) async fn receive_again_and_again(&self, queue: &Queue, stop: &CancellationToken) {
        let _deaf = Deaf(self);
        let (mut failures, mut backlog) = (0_u32, Backlog::default());
        while !stop.is_cancelled() {
            let held = self.held().messages();
            let is_behind = backlog.is_too_long(held, self.clock.now());
            if is_behind {
                self.fall_behind(held);
            }
            if held >= MOST_HELD {
                self.wait_for_room(stop).await;
                continue;
            }
            // Dropped at the end: what SQS was about to hand over comes again.
            let received = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                received = queue.receive(LONGEST_WAIT) => received,
            };
            if self.take_in(received, is_behind).await {
                failures = 0;
                continue;
            }
            failures = failures.saturating_add(1);
            let pause = FIRST_RETRY.saturating_mul(1 << (failures - 1).min(8)).min(LAST_RETRY);
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause.mul_f64(0.5 + 0.5 * self.random.fraction())) => {}
            }
        }
    }

    async fn wait_for_room(&self, stop: &CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.room.notified() => {}
            () = tokio::time::sleep(PATIENCE.unsigned_abs()) => {}
        }
    }

    fn fall_behind(&self, held: usize) {
        let why = format!(
            "More is announced than can be looked at: {held} announcements are in hand, and more wait in the queue. See what else \
             writes to it, and whether AWS and the database keep up."
        );
        self.watcher.is_deaf(&self.source, Some(why), self.clock.now());
    }

    /// Receives once.
    pub(super) async fn receive(&self, queue: &Queue, wait: Duration) {
        let received = queue.receive(wait).await;
        self.take_in(received, false).await;
    }

    /// False: the queue could not be read.
    async fn take_in(&self, received: Result<Vec<Message>, ReadError>, is_behind: bool) -> bool {
        let messages = match received {
            Ok(messages) => messages,
            Err(error) => {
                self.hear_badly(&error);
                return false;
            }
        };
        self.hear_well(is_behind);
        add(&self.counts.received, messages.len());
        let aside: Vec<Receipt> = messages.into_iter().filter_map(|message| self.sort(message)).collect();
        self.news.notify_one();
        self.delete(&aside).await;
        true
    }

    /// What is to be deleted at once.
    fn sort(&self, message: Message) -> Option<Receipt> {
        let Message { id, body, receipt } = message;
        match message::read(&body) {
            Reading::Hint(hint) if self.is_ours(&hint) => {
                let kept = Kept { receipt, deadline: hint.deadline };
                self.watcher.was_announced(&self.source, &hint.pipeline, self.clock.now());
                self.held().take_in(hint.pipeline, (id, kept), self.clock.now());
                None
            }
            Reading::Hint(_) => {
                add(&self.counts.elsewhere, 1);
                Some(receipt)
            }
            Reading::Beside => {
                add(&self.counts.beside, 1);
                Some(receipt)
            }
            Reading::NotUnderstood(why) => {
                add(&self.counts.not_understood, 1);
                let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
                if complaints.is_news(&id, self.clock.now()) {
                    tracing::warn!(
                        source = %self.source, message_id = id, why,
                        "a message in the queue cannot be understood; it is left for the dead-letter queue"
                    );
                }
                None
            }
        }
    }

    /// What is not deleted comes again, and costs one look more.
    pub(super) async fn delete(&self, receipts: &[Receipt]) {
        let Some(queue) = self.queue.as_ref().filter(|_| !receipts.is_empty()) else { return };
        let trouble = match queue.delete(receipts).await {
            Ok(failed) => {
                add(&self.counts.deleted, receipts.len() - failed);
                (failed > 0).then(|| format!("SQS did not delete {failed} of {} messages", receipts.len()))
            }
            Err(error) => Some(error.explain()),
        };
        let is_news = {
            let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            complaints.deleting_fails(trouble.is_some())
        };
        if let Some(why) = trouble.filter(|_| is_news) {
            tracing::warn!(source = %self.source, why, "messages could not be deleted from the queue; they come again");
        }
    }

    fn hear_well(&self, is_behind: bool) {
        let before = std::mem::replace(&mut *self.hearing(), Hearing::Well);
        if let Hearing::Badly(since, _) = before {
            tracing::info!(source = %self.source, %since, "the queue can be read again");
        }
        if !is_behind {
            self.watcher.hears(&self.source, self.clock.now());
        }
    }

    fn hear_badly(&self, error: &ReadError) {
        let why = error.explain();
        let mut hearing = self.hearing();
        let since = match &*hearing {
            Hearing::Badly(since, _) => *since,
            Hearing::NotYet | Hearing::Well => {
                tracing::warn!(
                    source = %self.source, why,
                    "the queue of the source cannot be read; until it can, the source is polled as if it had none"
                );
                self.clock.now()
            }
        };
        let told = format!("The queue cannot be read. {why}");
        *hearing = Hearing::Badly(since, why);
        drop(hearing);
        self.watcher.is_deaf(&self.source, Some(told), self.clock.now());
    }

    fn hearing(&self) -> std::sync::MutexGuard<'_, Hearing> {
        self.hearing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_that_leaves_room_for_a_few_now_and_then_is_a_flood_until_half_of_it_is_done() {
        let mut backlog = Backlog::default();
        let at = |seconds| Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds);
        assert!(!backlog.is_too_long(MOST_HELD, at(0)));
        assert!(!backlog.is_too_long(MOST_HELD - 5, at(29)));
        assert!(backlog.is_too_long(MOST_HELD - 5, at(30)));
        assert!(backlog.is_too_long(MOST_HELD / 2, at(31)));
        assert!(!backlog.is_too_long(MOST_HELD / 2 - 1, at(32)));
        assert!(!backlog.is_too_long(MOST_HELD, at(40)), "another flood");
    }

    #[test]
    fn a_message_is_complained_about_once_and_a_flood_of_them_does_not_fill_the_log() {
        let (mut complaints, now) = (Complaints::default(), Timestamp::UNIX_EPOCH);
        assert!(complaints.is_news("a", now));
        assert!(!complaints.is_news("a", now));
        let told = (0..5_000).filter(|number| complaints.is_news(&number.to_string(), now)).count();
        assert_eq!(told, COMPLAINTS - 1);
        let later = now + SignedDuration::from_mins(1);
        assert!(!complaints.is_news("a", later) && complaints.is_news("b", later));
        assert!(complaints.messages.len() <= REMEMBERED);
    }
}
