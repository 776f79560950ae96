//! Whether the server still answers. A server that is gone says so: connections break, and the pools see it. A server that
//! is frozen, or behind a network that swallows everything, says nothing, and whoever waits for it would wait until TCP
//! gives up, a quarter of an hour later or never; limits of the server's own end nothing there. So one connection of its
//! own asks it twice a second.
//!
//! While it is silent, people are told so instead of waiting ([`Pulse::silent`]). When it stays silent, the work that
//! hangs on it is dropped as if the process had been killed at that point ([`Pulse::or_dead`]), and its connections with
//! it. That is the one exception from "nothing ends a transaction from outside" (P-02), and it is safe for the same reason
//! as a kill: what was not confirmed is looked up or settled later. A connection that was dropped so is never used again,
//! unless the server proves within the pool's patience that nothing is left open in it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Between two questions, and how long an answer may take: the sum is [`SILENT`].
const BEAT: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_millis(1500);
/// How long a try to connect may take: many more messages than a question, to a server that is slow and works. What it
/// takes beyond [`ANSWER`] counts as silence all the same.
const CONNECTING: Duration = Duration::from_secs(4);
/// Between two tries to connect.
const AGAIN: Duration = Duration::from_millis(100);

/// Without an answer for so long, nobody waits any longer.
const SILENT: Duration = Duration::from_secs(2);
/// Without an answer for so long, what hangs is dropped. Longer than the server's own limits, so that a server that
/// lives always ends things first.
const DEAD: Duration = Duration::from_secs(10);

const NO_ANSWER: &str = "no answer";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sight {
    Answering,
    Silent,
    Dead,
}

/// A cheap-to-clone view of the server's state. Without anybody calling [`Pulse::beat`] it is taken to answer.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    sight: watch::Sender<Sight>,
    /// When a question was last left without an answer. Connections made before may lead to a server that is no longer the
    /// one to use, and what hung by then may hang there for ever: also when another server answered the next question at
    /// once, so that nobody saw a silence.
    missed: watch::Sender<Option<Instant>>,
    /// When the last silence was noticed, kept after it is over.
    silence: watch::Sender<Option<Instant>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self(Arc::new(Inner {
            sight: watch::Sender::new(Sight::Answering),
            missed: watch::Sender::new(None),
            silence: watch::Sender::new(None),
        }))
    }
}

impl Pulse {
    /// Returns once the server is silent, or was for a while since `began`, or left a question without an answer since then
    /// and ten seconds went by.
    pub async fn silent(&self, began: Instant) {
        tokio::select! {
            () = self.reached(Sight::Silent) => {}
            _ = happened(&self.0.silence, began) => {}
            () = self.outlived(began) => {}
        }
    }

    /// Returns once the server has been silent for long; also when another server answers by then, because what began
    /// before may hang on the old one for ever.
    pub async fn dead(&self, began: Instant) {
        tokio::select! {
            () = self.reached(Sight::Dead) => {}
            () = self.outlived(began) => {}
        }
    }

    /// Looks something up, unless the server is silent: what only reads may be dropped at any time.
    ///
    /// # Errors
    /// The look's own, or that it was dropped.
    pub async fn or_silent<T, E: From<sqlx::Error>>(&self, look: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::select! {
            biased;
            found = look => found,
            () = self.silent(Instant::now()) => Err(too_late("the database does not answer").into()),
        }
    }

    /// Does `work`, unless the server stays silent for so long that it will not end.
    ///
    /// # Errors
    /// The work's own, or that it was dropped where it stood: whether its last statement or commit was done is not known
    /// then.
    pub async fn or_dead<T, E: From<sqlx::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.dead(Instant::now()) => Err(too_late("the database was silent for too long").into()),
        }
    }

    /// Returns once the server answers.
    pub(super) async fn answering(&self) {
        // The sender lives as long as this does.
        let _ = self.0.sight.subscribe().wait_for(|now| *now == Sight::Answering).await;
    }

    /// Returns when ten seconds went by since a question after `began` that was left without an answer: a server that lives
    /// would have ended every statement by then.
    async fn outlived(&self, began: Instant) {
        let since = happened(&self.0.missed, began).await;
        sleep_until(since + DEAD).await;
    }

    async fn reached(&self, sight: Sight) {
        // An error means that nobody asks any more: then nothing is known to be silent.
        if self.0.sight.subscribe().wait_for(|now| *now >= sight).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether a connection of this age may still be used: the server may have been replaced since.
    pub(super) fn trusts(&self, age: Duration) -> bool {
        let made = Instant::now().checked_sub(age);
        self.0.missed.borrow().is_none_or(|before| made.is_some_and(|made| made > before))
    }

    /// Asks the server until told to stop.
    pub(super) async fn beat(&self, options: PgConnectOptions, stop: CancellationToken) -> Result<(), Infallible> {
        let asking = async {
            let mut heard = Instant::now();
            loop {
                let Some(mut connection) = self.connect(&options, heard).await else { continue };
                let why = loop {
                    match timeout(ANSWER, refuse_read_only(&mut connection)).await {
                        Ok(Ok(())) => {
                            heard = Instant::now();
                            self.tell(Sight::Answering);
                            sleep(BEAT).await;
                        }
                        Ok(Err(error)) => break format!("{error:?}"),
                        Err(_) => break NO_ANSWER.to_owned(),
                    }
                };
                self.miss(heard, &why);
                sleep(AGAIN).await;
            }
        };
        stop.run_until_cancelled(asking).await;
        self.tell(Sight::Answering);
        Ok(())
    }

    /// One try to connect. `None`: it failed, and was told.
    async fn connect(&self, options: &PgConnectOptions, heard: Instant) -> Option<PgConnection> {
        let began = Instant::now();
        let mut connecting = Box::pin(options.connect());
        while began.elapsed() < CONNECTING {
            match timeout(ANSWER, &mut connecting).await {
                Ok(Ok(connection)) => return Some(connection),
                Ok(Err(error)) => {
                    self.miss(heard, &format!("{error:?}"));
                    break;
                }
                Err(_) => self.miss(heard, NO_ANSWER),
            }
        }
        sleep(AGAIN).await;
        None
    }

    fn miss(&self, heard: Instant, why: &str) {
        // Whoever answers next may be another server behind the same name.
        self.0.missed.send_replace(Some(Instant::now()));
        let sight = match heard.elapsed() {
            silence if silence >= DEAD => Sight::Dead,
            silence if silence >= SILENT => Sight::Silent,
            _ => return,
        };
        let before = *self.0.sight.borrow();
        if before < sight {
            tracing::error!(why, ?sight, "the database does not answer");
        }
        if before == Sight::Answering {
            self.0.silence.send_replace(Some(Instant::now()));
        }
        self.tell(sight);
    }

    /// As if the server had been silent for long.
    #[cfg(test)]
    pub(crate) fn take_for_dead(&self) {
        self.tell(Sight::Dead);
    }

    fn tell(&self, sight: Sight) {
        self.0.sight.send_if_modified(|now| {
            if *now > Sight::Answering && sight == Sight::Answering {
                tracing::info!("the database answers again");
            }
            std::mem::replace(now, sight) != sight
        });
    }
}

/// Returns when it happens, or happened since `began`; says when it did.
async fn happened(at: &watch::Sender<Option<Instant>>, began: Instant) -> Instant {
    let mut changes = at.subscribe();
    let found = changes.wait_for(|at| at.is_some_and(|at| at >= began)).await.ok().and_then(|at| *at);
    match found {
        Some(at) => at,
        None => std::future::pending().await,
    }
}

/// A server that takes no writes is not the one to serve from: a standby that a name leads to after a failover shows an
/// older truth, and approvals would be decided by it (H-08).
pub(super) async fn refuse_read_only(connection: &mut PgConnection) -> sqlx::Result<()> {
    let row = connection.fetch_one("show transaction_read_only").await?;
    match row.try_get::<String, _>(0)?.as_str() {
        "off" => Ok(()),
        _ => Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::ConnectionRefused, "the server is read-only"))),
    }
}

/// Whether the server answers on this connection within `patience`.
pub(super) async fn answers(connection: &mut PgConnection, patience: Duration) -> sqlx::Result<bool> {
    match timeout(patience, connection.ping()).await {
        Ok(answered) => answered.map(|()| true),
        Err(_) => Err(too_late("an idle connection does not answer")),
    }
}

pub(super) fn too_late(why: &'static str) -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_pulse_that_nobody_feels_never_ends_any_work() {
        let pulse = Pulse::default();
        assert_eq!(pulse.or_dead(async { Ok::<_, sqlx::Error>(7) }).await.unwrap(), 7);
        assert!(pulse.trusts(Duration::from_secs(3600)));
    }

    #[tokio::test]
    async fn work_is_dropped_when_the_server_is_dead_and_not_before() {
        let pulse = Pulse::default();
        pulse.tell(Sight::Silent);
        assert_eq!(
            pulse.or_dead(async { Ok::<_, sqlx::Error>(7) }).await.unwrap(),
            7,
            "silence ends the waiting, not the work"
        );
        pulse.tell(Sight::Dead);
        assert!(pulse.or_dead(std::future::pending::<sqlx::Result<()>>()).await.is_err());
        pulse.silent(Instant::now()).await;
    }

    #[tokio::test]
    async fn what_began_before_a_silence_is_dropped_although_another_server_answers_since() {
        let pulse = Pulse::default();
        let began = Instant::now();
        pulse.miss(began.checked_sub(SILENT).unwrap(), "test");
        pulse.tell(Sight::Answering);
        pulse.silent(began).await;
        assert!(timeout(Duration::ZERO, pulse.dead(began)).await.is_err(), "silence ends the waiting, not the work");
        let later = Instant::now();
        let long_ago = began.checked_sub(DEAD).unwrap();
        pulse.0.missed.send_replace(Some(long_ago));
        pulse.dead(long_ago).await;
        for goes_on in
            [timeout(Duration::ZERO, pulse.dead(later)).await, timeout(Duration::ZERO, pulse.silent(later)).await]
        {
            assert!(goes_on.is_err(), "what began after it goes on");
        }
    }

    #[tokio::test]
    async fn what_began_before_one_missed_question_is_dropped_although_the_next_was_answered_at_once() {
        // The way to the old server broke for the one who asks and hangs for others: a failover that nobody saw as silence.
        let pulse = Pulse::default();
        let now = Instant::now();
        pulse.miss(now, "test");
        assert!(timeout(Duration::ZERO, pulse.silent(now)).await.is_err(), "most will be answered yet");
        let missed = now.checked_sub(DEAD).unwrap();
        pulse.0.missed.send_replace(Some(missed));
        pulse.silent(missed).await;
        pulse.dead(missed).await;
    }

    #[tokio::test]
    async fn connections_older_than_a_missed_beat_are_not_trusted() {
        let pulse = Pulse::default();
        pulse.miss(Instant::now(), "test");
        assert!(!pulse.trusts(Duration::from_secs(6)));
        assert!(pulse.trusts(Duration::ZERO));
    }
}
