//! What the portal does by itself while it serves: watching, settling, following the database's clock, tidying up. Each
//! duty is one step that tests call by hand, and a loop here that calls it on time.
//!
//! A step that fails is logged and comes round again. One that panics is started again by the [`crate::supervise::Supervisor`], which tells
//! `/readyz` when that happens again and again (P-21).

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::state::AppState;
use super::streams::OVER_WITHIN;
use crate::accounts::Unavailable;
use crate::clock::Clock;
use crate::database::Database;
use crate::store;
use crate::watcher::Watcher;

const SETTLING: Duration = Duration::from_secs(1);
/// How many settle beside each other: while one waits for a source that hangs, the others go on with the rest (D-12). They
/// keep out of each other's way as replicas do.
const SETTLERS: usize = 3;
/// How many send messages to channels beside each other: while one waits for an end that hangs, the others go on.
const SENDERS: usize = 3;
/// How late what nobody decided may be rejected, where an admin chose that it is.
const UNATTENDED: Duration = Duration::from_secs(5);
/// How many tell browsers beside each other: while one waits for a push service that hangs, the others go on.
const PUSHERS: usize = 2;
/// A stream whose session has ended is open for no longer than this and the time of a query.
const STREAMS: Duration = Duration::from_secs(3);
const _: () = assert!(STREAMS.as_secs() < OVER_WITHIN.as_secs(), "the query has its time too");
/// How long a mail, or the answer to who forgot a password, waits at most before it is looked at.
const MAILING: Duration = Duration::from_secs(2);
/// How late a group may hear of what nobody decides.
const LOOKING: Duration = Duration::from_secs(60);
const STRANGERS: Duration = Duration::from_secs(10);
const CLOCK: Duration = Duration::from_secs(60);
const SESSIONS: Duration = Duration::from_secs(60);
const TIDYING: Duration = Duration::from_secs(600);

/// From this difference on the operator is told: AWS takes no signature that is five minutes off.
const CLOCK_WRONG: SignedDuration = SignedDuration::from_secs(60);

/// How long a form's one-use key is remembered (D-03).
const KEYS_LIVE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The running loops.
pub struct Duties {
    state: AppState,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Stops the pulse: last, because the other loops may hang on the database without it.
    pulse: CancellationToken,
}

impl Duties {
    /// Starts every loop.
    #[must_use]
    pub fn start(state: &AppState, watcher: Watcher) -> Self {
        let duties = Self {
            state: state.clone(),
            stop: CancellationToken::new(),
            pulse: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        tokio::spawn(feel_pulse(state.clone(), duties.pulse.clone()));
        // Supervises the sweeps of each source by itself: trouble with one must not stop the others.
        duties.tasks.spawn(watcher.run(duties.stop.clone()));
        duties.tasks.spawn(state.events.clone().run(state.supervisor.clone(), duties.stop.clone()));
        duties.tasks.spawn(hear(state.clone(), duties.stop.clone()));
        duties.every(STREAMS, "checking who still listens", |state| async move {
            state.database.pulse.or_dead(state.streams.end_over(&state.accounts)).await.map(drop)
        });
        for _ in 0..SETTLERS {
            duties.every(SETTLING, "settling decisions", settle);
        }
        duties.every(UNATTENDED, "rejecting what nobody decided", reject_unattended);
        duties.every(MAILING, "answering who forgot a password", answer_requests);
        duties.every(MAILING, "telling people what waits for them", tell_people);
        duties.every(
            LOOKING,
            "looking for what nobody was told",
            |state| async move { state.notices.look_around().await },
        );
        duties.every(MAILING, "sending mail", send_mail);
        duties.every(MAILING, "making messages to channels", make_messages);
        for _ in 0..SENDERS {
            duties.every(MAILING, "telling channels", tell_channels);
        }
        for _ in 0..PUSHERS {
            duties.every(MAILING, "telling browsers", tell_browsers);
        }
        duties.every(
            STRANGERS,
            "counting strangers",
            |state| async move { state.accounts.flush_stranger_counts().await },
        );
        duties.every(CLOCK, "following the database's clock", |state| async move {
            state.database.pulse.or_dead(follow_database_clock(&state.database, &state.clock)).await
        });
        duties.every(SESSIONS, "ending sessions whose time is over", end_sessions);
        duties.tidy();
        duties.tasks.close();
        duties
    }

    /// Ends every loop after the step it is in, then hands in what was counted.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
        if let Err(error) = self.state.accounts.flush_stranger_counts().await {
            tracing::warn!(%error, "the last counts of strangers could not be recorded");
        }
        self.pulse.cancel();
    }

    /// Forgets what no longer limits or protects anybody, or can be ended by nobody any more. Each is a duty of its own, so that
    /// what fails is told by its name, and holds up none of the others.
    fn tidy(&self) {
        self.forget("forgetting the keys of forms", |state| async move { forget_keys(&state).await });
        self.forget("forgetting what was announced", |state| async move { state.reader.forget_announced().await });
        self.forget("forgetting what SNS delivered", |state| async move { state.sns.forget_taken().await });
        self.forget("forgetting old mail", |state| async move { state.mailer.sweep().await });
        self.forget("forgetting old links in mails", |state| async move { state.mailed.sweep().await });
        self.forget("forgetting old notices", |state| async move { state.notices.sweep().await });
        self.forget("forgetting old messages to channels", |state| async move { state.channels.sweep().await });
        self.forget("forgetting old messages to browsers", |state| async move { state.push.sweep().await });
        self.forget("forgetting what was begun and not ended", |state| async move {
            state.accounts.sweep_ceremonies().await
        });
        self.forget(
            "forgetting what limits nobody any more",
            |state| async move { state.accounts.sweep_limits().await },
        );
    }

    fn forget<F, E>(&self, what: &'static str, step: impl Fn(AppState) -> F + Clone + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), E>> + Send,
        E: From<sqlx::Error> + std::fmt::Display + Send + 'static,
    {
        self.every(TIDYING, what, move |state| {
            let (pulse, done) = (state.database.pulse.clone(), step(state));
            async move { pulse.or_dead(done).await }
        });
    }

    /// Runs `step` now and then, until stopped.
    fn every<F, E>(
        &self,
        period: Duration,
        what: &'static str,
        step: impl Fn(AppState) -> F + Clone + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), E>> + Send,
        E: std::fmt::Display + Send + 'static,
    {
        let (stop, state) = (self.stop.clone(), self.state.clone());
        self.tasks.spawn(async move {
            let begin = || {
                let (stop, state, step) = (stop.clone(), state.clone(), step.clone());
                async move {
                    again_and_again(period, what, &stop, || step(state.clone())).await;
                    Ok::<(), Infallible>(())
                }
            };
            state.supervisor.keep(what, &stop, begin).await;
        });
    }
}

/// A step under way is always finished: it may hold a transaction (P-02).
async fn again_and_again<F, E>(period: Duration, what: &str, stop: &CancellationToken, step: impl Fn() -> F)
where
    F: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    loop {
        tokio::select! {
            // First: where both are due, no further step is begun.
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        // Said once while it lasts: a database that is away is told, and told to be back, by its pulse.
        let done = step().await;
        let is_new = trouble.is_new(done.is_err());
        match done {
            Ok(()) => {}
            Err(error) if is_new => {
                tracing::warn!(%error, duty = what, "a duty could not be done; it comes round again until it can");
            }
            Err(error) => tracing::debug!(%error, duty = what, "a duty could still not be done"),
        }
    }
}

/// Whether the last step went wrong too.
#[derive(Default)]
struct Trouble(bool);

impl Trouble {
    /// Takes in how a step went. True: it went wrong, and the one before did not.
    fn is_new(&mut self, is_wrong: bool) -> bool {
        let was_wrong = std::mem::replace(&mut self.0, is_wrong);
        is_wrong && !was_wrong
    }
}

async fn feel_pulse(state: AppState, stop: CancellationToken) {
    let begin = || {
        let (database, stop) = (state.database.clone(), stop.clone());
        async move { database.feel_pulse(stop).await }
    };
    state.supervisor.keep("feeling the database's pulse", &stop, begin).await;
}

async fn hear(state: AppState, stop: CancellationToken) {
    let begin = || state.hearing.clone().run(stop.clone());
    state.supervisor.keep("hearing of changes", &stop, begin).await;
}

/// Takes steps for as long as there are any.
async fn settle(state: AppState) -> Result<(), sqlx::Error> {
    while !state.readiness.stopping().is_cancelled() && state.decisions.step().await? > 0 {}
    Ok(())
}

/// Apart from the settling: what a source that hangs holds up here is nobody's decision.
async fn reject_unattended(state: AppState) -> Result<(), sqlx::Error> {
    if !state.readiness.stopping().is_cancelled() {
        state.decisions.reject_unattended().await?;
    }
    Ok(())
}

/// Apart from the sending, which waits for a mail server.
async fn answer_requests(state: AppState) -> Result<(), Unavailable> {
    while !state.readiness.stopping().is_cancelled() && state.accounts.answer_request().await? {}
    Ok(())
}

/// Apart from the sending too, and from everything that reads AWS or decides.
async fn tell_people(state: AppState) -> Result<(), sqlx::Error> {
    while !state.readiness.stopping().is_cancelled() && state.notices.step().await? > 0 {}
    Ok(())
}

async fn send_mail(state: AppState) -> Result<(), sqlx::Error> {
    while !state.readiness.stopping().is_cancelled() && state.mailer.step().await? > 0 {}
    Ok(())
}

async fn make_messages(state: AppState) -> Result<(), sqlx::Error> {
    while !state.readiness.stopping().is_cancelled() && state.channels.step().await? > 0 {}
    Ok(())
}

async fn tell_channels(state: AppState) -> Result<(), sqlx::Error> {
    while !state.readiness.stopping().is_cancelled() && state.channels.send().await? > 0 {}
    Ok(())
}

async fn tell_browsers(state: AppState) -> Result<(), sqlx::Error> {
    while !state.readiness.stopping().is_cancelled() && state.push.send().await? > 0 {}
    Ok(())
}

async fn end_sessions(state: AppState) -> Result<(), Unavailable> {
    while state.database.pulse.or_dead(state.accounts.end_sessions_over()).await? > 0 {}
    Ok(())
}

async fn forget_keys(state: &AppState) -> Result<(), sqlx::Error> {
    let now = state.clock.now();
    let mut connection = state.database.pages.acquire().await?;
    let before = now.checked_sub(KEYS_LIVE).unwrap_or(now);
    store::decisions::intake::delete_keys_before(&mut connection, before).await.map(drop)
}

/// Makes our clock show the database's time: sessions and deadlines must agree between replicas (F-34).
///
/// # Errors
/// The database did not answer; the clock stays as it is.
pub async fn follow_database_clock(database: &Database, clock: &Clock) -> Result<(), sqlx::Error> {
    let mut connection = database.pages.acquire().await?;
    let before = clock.machine_now();
    let there = store::clock::load_now(&mut connection).await?;
    let after = clock.machine_now();
    // The answer was made somewhere between the two looks at our own clock.
    let half = SignedDuration::from_micros(i64::try_from(after.duration_since(before).as_micros() / 2).unwrap_or(0));
    let here = before.checked_add(half).unwrap_or(after);
    let offset = there.duration_since(here);
    if offset.abs() >= CLOCK_WRONG {
        tracing::warn!(
            seconds = offset.as_secs(),
            "This machine's clock is not the database's. What replicas share goes by the database's; set this one (NTP)"
        );
    }
    clock.set_offset(offset);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::Supervisor;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn a_duty_goes_on_after_a_step_that_failed_and_after_one_that_panicked() {
        // P-21
        let (supervisor, stop, steps) = (Supervisor::default(), CancellationToken::new(), Arc::new(AtomicU32::new(0)));
        let begin = || {
            let (stop, steps) = (stop.clone(), steps.clone());
            async move {
                let step = || async {
                    match steps.fetch_add(1, Ordering::SeqCst) {
                        0 => Err("the database is away"),
                        1 => panic!("a fault of the program"),
                        2 => Ok(()),
                        _ => {
                            stop.cancel();
                            Ok(())
                        }
                    }
                };
                again_and_again(Duration::from_millis(1), "counting", &stop, step).await;
                Ok::<(), Infallible>(())
            }
        };
        supervisor.keep("counting", &stop, begin).await;
        assert_eq!(steps.load(Ordering::SeqCst), 4);
        assert_eq!(supervisor.panics(), [("counting", 1)]);
    }

    #[test]
    fn a_duty_that_cannot_be_done_says_so_once_for_as_long_as_it_lasts() {
        let mut trouble = Trouble::default();
        let went_wrong = [true, true, true, false, false, true, false, true, true];
        let told: Vec<bool> = went_wrong.into_iter().map(|is_wrong| trouble.is_new(is_wrong)).collect();
        assert_eq!(told, [true, false, false, false, false, true, false, true, false]);
    }
}
