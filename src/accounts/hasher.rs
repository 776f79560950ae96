//! Password hashing: argon2id, a few at a time, in memory that is set aside once.
//!
//! A hash costs 19 MiB and tens of milliseconds on purpose, so whoever can ask for many at once can stop the process.
//! There are as many [`Seat`]s as may hash at the same time; a seat owns its memory and travels into the blocking closure,
//! so that a request which is cancelled cannot free it early (S-09). This module must never keep or print a password, and
//! never compute what a stored hash asks for beyond its own limits (S-08).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::random::Random;

/// The most that a stored hash may ask for: beyond it somebody else wrote the row (S-08).
const MOST_MEMORY_KIB: u32 = 256 * 1024;
const MOST_PASSES: u32 = 10;

/// What one hash costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    pub memory_kib: u32,
    pub passes: u32,
    pub lanes: u32,
}

impl Cost {
    /// What is served (OWASP Password Storage Cheat Sheet).
    pub const SERVED: Self = Self { memory_kib: 19_456, passes: 2, lanes: 1 };
    /// For tests that are about something else. [`Hasher::new`] refuses it.
    pub const CHEAP: Self = Self { memory_kib: 64, passes: 1, lanes: 1 };

    fn is_weaker_than(self, other: Self) -> bool {
        self.memory_kib < other.memory_kib || self.passes < other.passes || self.lanes < other.lanes
    }

    fn params(self) -> Params {
        Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).expect("the costs above are valid parameters")
    }
}

/// How many hash at once and how many wait.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    pub seats: usize,
    pub queue: usize,
    pub wait: Duration,
}

impl Default for Room {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { seats: cores.min(4), queue: 32, wait: Duration::from_secs(2) }
    }
}

/// A cost below what may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("password hashing must cost at least 19456 KiB, 2 passes and 1 lane")]
pub struct TooCheap;

/// Every seat is taken and the queue is full, or the wait was too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many passwords are being checked at once")]
pub struct Busy {
    pub retry_after: Duration,
}

/// The thread that computed a hash died.
#[derive(Debug, thiserror::Error)]
#[error("a password could not be hashed: {0}")]
pub struct HashFailed(String);

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    pub matches: bool,
    /// The stored hash is cheaper than today's cost: hash again while the password is at hand.
    pub outdated: bool,
}

/// Hashes passwords. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Hasher(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    cost: Cost,
    room: Room,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    memory: Mutex<Vec<Vec<Block>>>,
    computed: AtomicU64,
}

/// The right to compute one hash at a time, with the memory for it.
#[derive(Debug)]
pub struct Seat {
    hasher: Hasher,
    memory: Vec<Block>,
    // Dropped after `Drop::drop` has given the memory back, so that the next one finds it.
    _permit: OwnedSemaphorePermit,
}

impl Hasher {
    /// # Errors
    /// [`TooCheap`] for anything below [`Cost::SERVED`].
    pub fn new(cost: Cost, room: Room) -> Result<Self, TooCheap> {
        if cost.is_weaker_than(Cost::SERVED) { Err(TooCheap) } else { Ok(Self::of_any_cost(cost, room)) }
    }

    /// A hasher for tests, of any cost.
    #[must_use]
    pub fn of_any_cost(cost: Cost, room: Room) -> Self {
        Self(Arc::new(Inner {
            cost,
            room,
            permits: Arc::new(Semaphore::new(room.seats)),
            waiting: AtomicUsize::new(0),
            memory: Mutex::new(Vec::new()),
            computed: AtomicU64::new(0),
        }))
    }

    /// How many hashes were computed so far, dummies included.
    #[must_use]
    pub fn computed(&self) -> u64 {
        self.0.computed.load(Ordering::SeqCst)
    }

    /// Waits for a seat, but not for long and not behind many.
    ///
    /// # Errors
    /// [`Busy`].
    pub async fn seat(&self) -> Result<Seat, Busy> {
        let permits = Arc::clone(&self.0.permits);
        let permit = match Arc::clone(&permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                let _place = self.queue_up()?;
                let turn = tokio::time::timeout(self.0.room.wait, permits.acquire_owned()).await;
                turn.map_err(|_| self.busy())?.expect("the semaphore is never closed")
            }
        };
        let memory = self.0.memory.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Seat { hasher: self.clone(), memory: memory.unwrap_or_default(), _permit: permit })
    }

    fn queue_up(&self) -> Result<Place<'_>, Busy> {
        let place = Place(&self.0.waiting);
        if self.0.waiting.fetch_add(1, Ordering::SeqCst) < self.0.room.queue { Ok(place) } else { Err(self.busy()) }
    }

    fn busy(&self) -> Busy {
        Busy { retry_after: self.0.room.wait.max(Duration::from_secs(1)) }
    }
}

/// A place in the queue, left when dropped.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Seat {
    /// Hashes `password` with today's cost and a fresh salt into a PHC string.
    ///
    /// # Errors
    /// [`HashFailed`]; the seat is gone with it.
    pub async fn hash(self, password: &Zeroizing<String>, random: &Random) -> Result<(Self, String), HashFailed> {
        let salt: [u8; 16] = random.bytes();
        let cost = self.hasher.0.cost;
        let (seat, output) = self.compute(password.clone(), cost.params(), salt.to_vec(), 32).await?;
        let phc = format!(
            "$argon2id$v=19$m={},t={},p={}${}${}",
            cost.memory_kib,
            cost.passes,
            cost.lanes,
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(output.as_slice())
        );
        Ok((seat, phc))
    }

    /// Compares `password` with a stored hash. Without one, or with one that cannot be used, the same work is done for
    /// nothing, so that nobody learns from the time whether there was one (S-10).
    ///
    /// # Errors
    /// [`HashFailed`]; the seat is gone with it.
    pub async fn check(
        self,
        password: &Zeroizing<String>,
        stored: Option<&str>,
    ) -> Result<(Self, Checked), HashFailed> {
        let today = self.hasher.0.cost;
        let Some(stored) = stored.and_then(Stored::parse) else {
            let (seat, _) = self.compute(password.clone(), today.params(), vec![0; 16], 32).await?;
            return Ok((seat, Checked { matches: false, outdated: false }));
        };
        let length = stored.output.len();
        let (seat, output) = self.compute(password.clone(), stored.params, stored.salt, length).await?;
        let matches = bool::from(output.as_slice().ct_eq(&stored.output));
        Ok((seat, Checked { matches, outdated: stored.cost.is_weaker_than(today) }))
    }

    async fn compute(
        mut self,
        password: Zeroizing<String>,
        params: Params,
        salt: Vec<u8>,
        length: usize,
    ) -> Result<(Self, Zeroizing<Vec<u8>>), HashFailed> {
        let work = move || {
            let usual = self.hasher.0.cost.params().block_count();
            self.memory.resize(params.block_count().max(usual), Block::new());
            let mut output = Zeroizing::new(vec![0; length]);
            let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            let done =
                argon2.hash_password_into_with_memory(password.as_bytes(), &salt, &mut output, &mut self.memory[..]);
            // A stored hash that asked for more must not leave the process that much bigger.
            if self.memory.len() > usual {
                self.memory.truncate(usual);
                self.memory.shrink_to_fit();
            }
            self.hasher.0.computed.fetch_add(1, Ordering::SeqCst);
            done.map(|()| (self, output)).map_err(|error| HashFailed(error.to_string()))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| HashFailed(error.to_string()))?
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if !memory.is_empty() {
            self.hasher.0.memory.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        }
    }
}

/// A stored hash that is safe to compute.
struct Stored {
    cost: Cost,
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Stored {
    fn parse(phc: &str) -> Option<Self> {
        let hash = PasswordHash::new(phc).ok()?;
        if hash.algorithm != ARGON2ID_IDENT || hash.version != Some(Version::V0x13.into()) {
            return None;
        }
        let params = Params::try_from(&hash).ok()?;
        if params.m_cost() > MOST_MEMORY_KIB || params.t_cost() > MOST_PASSES || params.p_cost() > 16 {
            return None;
        }
        let cost = Cost { memory_kib: params.m_cost(), passes: params.t_cost(), lanes: params.p_cost() };
        Some(Self { cost, params, salt: hash.salt?.as_ref().to_vec(), output: hash.hash?.as_bytes().to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn password(text: &str) -> Zeroizing<String> {
        Zeroizing::new(text.to_owned())
    }

    fn cheap(seats: usize, queue: usize, wait: Duration) -> Hasher {
        Hasher::of_any_cost(Cost::CHEAP, Room { seats, queue, wait })
    }

    #[test]
    fn what_is_served_costs_what_the_standard_asks_for() {
        // S-08
        assert_eq!(Cost::SERVED, Cost { memory_kib: 19_456, passes: 2, lanes: 1 });
        assert_eq!(Hasher::new(Cost::CHEAP, Room::default()).err(), Some(TooCheap));
        assert_eq!(Hasher::new(Cost { passes: 1, ..Cost::SERVED }, Room::default()).err(), Some(TooCheap));
        assert!(Hasher::new(Cost::SERVED, Room::default()).is_ok());
        let room = Room::default();
        assert!(room.seats <= 4 && room.queue == 32 && room.wait == Duration::from_secs(2), "{room:?}");
    }

    #[tokio::test]
    async fn a_hash_is_a_phc_string_that_other_programs_read() {
        // S-08: argon2id, version 19, 16 bytes of salt, and the library's own reader agrees.
        let hasher = Hasher::new(Cost::SERVED, Room::default()).unwrap();
        let (_, phc) = hasher.seat().await.unwrap().hash(&password("correct horse"), &Random::system()).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        let parsed = PasswordHash::new(&phc).unwrap();
        assert_eq!(parsed.salt.unwrap().as_ref().len(), 16);
        argon2::PasswordVerifier::verify_password(&Argon2::default(), b"correct horse", &parsed).unwrap();
        let check = |text, phc: Option<String>| {
            let hasher = hasher.clone();
            async move { hasher.seat().await.unwrap().check(&password(text), phc.as_deref()).await.unwrap().1 }
        };
        assert_eq!(check("correct horse", Some(phc.clone())).await, Checked { matches: true, outdated: false });
        assert!(!check("correct horse ", Some(phc)).await.matches);
        assert!(!check("correct horse", None).await.matches);
        assert_eq!(hasher.computed(), 4);
    }

    #[tokio::test]
    async fn a_stored_hash_that_asks_for_too_much_is_not_computed() {
        // S-08: the same work as for nobody, and never a match.
        let hasher = cheap(1, 0, Duration::ZERO);
        let salt = STANDARD_NO_PAD.encode([7; 16]);
        let output = STANDARD_NO_PAD.encode([7; 32]);
        for params in ["m=262145,t=1,p=1", "m=64,t=11,p=1", "m=4294967295,t=1,p=1"] {
            let phc = format!("$argon2id$v=19${params}${salt}${output}");
            let (_, checked) = hasher.seat().await.unwrap().check(&password("x"), Some(&phc)).await.unwrap();
            assert_eq!(checked, Checked { matches: false, outdated: false }, "{params}");
        }
        for other in ["$argon2i$v=19$m=64,t=1,p=1$", "$argon2id$v=16$m=64,t=1,p=1$", "$2b$12$", ""] {
            assert!(Stored::parse(&format!("{other}{salt}${output}")).is_none(), "{other}");
        }
        assert_eq!(hasher.computed(), 3);
        let memory: Vec<usize> = hasher.0.memory.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(memory, [64], "one seat's memory, no more than its cost");
    }

    #[tokio::test]
    async fn when_every_seat_is_taken_and_the_queue_is_full_the_answer_is_busy() {
        // S-09
        let hasher = cheap(1, 1, Duration::from_secs(3600));
        let seat = hasher.seat().await.unwrap();
        let mut second = Box::pin(hasher.seat());
        assert!((&mut second).now_or_never().is_none(), "the second waits");
        assert!(hasher.seat().await.is_err(), "the third is sent away at once");
        drop(seat);
        assert!(second.await.is_ok());
        assert_eq!(hasher.0.waiting.load(Ordering::SeqCst), 0);
    }

    #[tokio::test]
    async fn who_waits_too_long_is_sent_away() {
        let hasher = cheap(1, 1, Duration::ZERO);
        let _seat = hasher.seat().await.unwrap();
        assert_eq!(hasher.seat().await.err(), Some(Busy { retry_after: Duration::from_secs(1) }));
        assert_eq!(hasher.0.waiting.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_cancelled_request_keeps_its_seat_until_the_hash_is_computed() {
        // S-09: otherwise cancelling is a way to compute any number at once. One thread computes, and is busy until told.
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
        runtime.block_on(async {
            let (go_on, told) = std::sync::mpsc::channel::<()>();
            tokio::task::spawn_blocking(move || told.recv());
            let hasher = cheap(1, 1, Duration::from_secs(3600));
            let seat = hasher.seat().await.unwrap();
            let words = password("a cancelled request");
            let mut hashing = Box::pin(seat.check(&words, None));
            assert!((&mut hashing).now_or_never().is_none());
            drop(hashing);
            let mut next = Box::pin(hasher.seat());
            assert!((&mut next).now_or_never().is_none(), "the seat is still taken");
            go_on.send(()).unwrap();
            let _next = next.await.unwrap();
            assert_eq!(hasher.computed(), 1, "the seat came free only after the work");
        });
    }
}
