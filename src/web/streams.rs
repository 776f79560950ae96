//! The event streams that this process has open: how many there may be, whose they are, and how they end. Who listens is
//! checked again every few seconds, all at once, because a stream outlives the request that its guard admitted (S-27).
//!
//! It must never keep a stream because it could not be told whether its session lives for longer than the database is
//! away; no hint is told in that time either.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::accounts::{Accounts, Unavailable};
use crate::domain::ids::SessionId;

/// Streams of one session: more tabs than anybody looks at.
pub const PER_SESSION: usize = 6;
/// Streams of one process.
pub const IN_ALL: usize = 500;
/// A stream whose session has ended, or whose person may no longer look, is open for no longer than this (S-27).
pub const OVER_WITHIN: Duration = Duration::from_secs(5);

/// The open streams. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seats: Mutex<Seats>,
    leaving: CancellationToken,
}

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    taken: HashMap<u64, Seat>,
}

#[derive(Debug)]
struct Seat {
    session: SessionId,
    ended: CancellationToken,
}

/// Why there is no stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Session,
    Process,
    /// This process is about to stop.
    Leaving,
}

/// One open stream's place; free again when dropped.
#[derive(Debug)]
pub struct Place {
    number: u64,
    streams: Streams,
    ended: CancellationToken,
}

impl Streams {
    /// Takes a place for a stream of this session.
    ///
    /// # Errors
    /// [`Full`].
    pub fn enter(&self, session: SessionId) -> Result<Place, Full> {
        let mut seats = self.seats();
        // Asked under the lock, so that whoever comes in before the end is told of it.
        if self.0.leaving.is_cancelled() {
            return Err(Full::Leaving);
        }
        if seats.taken.len() >= IN_ALL {
            return Err(Full::Process);
        }
        if seats.taken.values().filter(|seat| seat.session == session).count() >= PER_SESSION {
            return Err(Full::Session);
        }
        let number = seats.next;
        seats.next += 1;
        let ended = CancellationToken::new();
        seats.taken.insert(number, Seat { session, ended: ended.clone() });
        Ok(Place { number, streams: self.clone(), ended })
    }

    /// How many streams are open.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seats().taken.len()
    }

    /// Ends every stream, telling its page to come back, and takes no new ones (P-20).
    pub fn leave(&self) {
        let _seats = self.seats();
        self.0.leaving.cancel();
    }

    /// Ends the streams of sessions that have ended, or whose person may no longer look (S-27): one query, however many
    /// streams there are, and none while there are none. Not an activity of anybody (S-26).
    ///
    /// # Errors
    /// It could not be found out.
    pub async fn end_over(&self, accounts: &Accounts) -> Result<usize, Unavailable> {
        let asked: HashSet<SessionId> = self.seats().taken.values().map(|seat| seat.session).collect();
        if asked.is_empty() {
            return Ok(0);
        }
        let asked: Vec<SessionId> = asked.into_iter().collect();
        let living = accounts.living_sessions(&asked).await?;
        let over: HashSet<&SessionId> = asked.iter().filter(|session| !living.contains(session)).collect();
        let seats = self.seats();
        let ended: Vec<_> = seats.taken.values().filter(|seat| over.contains(&seat.session)).collect();
        ended.iter().for_each(|seat| seat.ended.cancel());
        Ok(ended.len())
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.0.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Returns when the session has ended.
    pub async fn over(&self) {
        self.ended.cancelled().await;
    }

    /// Returns when the process is about to stop.
    pub async fn leaving(&self) {
        self.streams.0.leaving.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.streams.seats().taken.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn session(number: usize) -> SessionId {
        SessionId(Uuid::from_u128(number as u128))
    }

    #[test]
    fn a_session_has_six_places_and_the_process_five_hundred() {
        // P-11
        let streams = Streams::default();
        let mut places: Vec<_> = (0..PER_SESSION).map(|_| streams.enter(session(0)).unwrap()).collect();
        assert_eq!(streams.enter(session(0)).unwrap_err(), Full::Session);
        places.pop();
        assert!(streams.enter(session(0)).is_ok(), "a place that was left is free again");
        places.extend((places.len()..IN_ALL).map(|number| streams.enter(session(number)).unwrap()));
        assert_eq!(streams.enter(session(7)).unwrap_err(), Full::Process);
        drop(places);
        assert_eq!(streams.count(), 0);
    }

    #[tokio::test]
    async fn whoever_leaves_tells_all_and_lets_nobody_in() {
        let streams = Streams::default();
        let place = streams.enter(session(1)).unwrap();
        streams.leave();
        place.leaving().await;
        assert_eq!(streams.enter(session(1)).unwrap_err(), Full::Leaving);
    }
}
