//! What all connections share: the worlds, who is known, faults, holds and the journal.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use jiff::{SignedDuration, Timestamp};

use super::{
    auth::Credentials,
    config::{Rate, WorldConfig, WorldFile, WorldFileError, pipelines_of},
    diary::{Diary, Kept},
    faults::Faults,
    holds::Holds,
    journal::Journal,
    operations::{self, Request},
    world::{Settings, World},
};
use crate::clock::Clock;

/// An account and region.
pub type Place = (String, String);

/// The whole simulator without its listeners.
#[derive(Debug)]
pub struct Shared {
    pub file: WorldFile,
    pub clock: Clock,
    pub credentials: Credentials,
    pub faults: Faults,
    pub holds: Holds,
    pub journal: Journal,
    pub diary: Option<Diary>,
    worlds: Mutex<BTreeMap<Place, Arc<Mutex<World>>>>,
    rates: Mutex<BTreeMap<Place, Bucket>>,
    requests: AtomicU64,
}

/// A token bucket that follows the simulator's clock.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    rate: Rate,
    filled: f64,
    at: Timestamp,
}

impl Shared {
    /// Builds the worlds of a file and lives through their past, and through what `diary` tells.
    ///
    /// # Errors
    /// Names what is wrong in the file.
    pub fn new(file: WorldFile, clock: Clock, diary: Option<Diary>) -> Result<Self, WorldFileError> {
        let shared = Self {
            credentials: Credentials::new(file.clone()),
            faults: Faults::new(file.seed),
            holds: Holds::new(clock.clone()),
            journal: Journal::default(),
            worlds: Mutex::default(),
            rates: Mutex::default(),
            requests: AtomicU64::new(0),
            diary,
            file,
            clock,
        };
        let now = shared.diary.as_ref().map_or_else(|| shared.clock.now(), Diary::began);
        for config in &shared.file.worlds {
            let place = (config.account.clone(), config.region.clone());
            let world = shared.world(&place);
            let mut world = world.lock().unwrap_or_else(PoisonError::into_inner);
            for pipeline in pipelines_of(&shared.file, config)? {
                let offsets = pipeline.start.iter().chain(pipeline.since.as_ref()).map(|offset| offset.0);
                let first = offsets.min().unwrap_or_default().min(SignedDuration::ZERO) - SignedDuration::from_mins(1);
                world.create_pipeline(&pipeline, now.checked_add(first).unwrap_or(now), now)?;
            }
            world.advance_to(now);
            shared.set_rate(&place, config.throttle);
        }
        shared.diary.iter().flat_map(Diary::kept).for_each(|kept| shared.repeat(kept));
        shared.catch_up();
        Ok(shared)
    }

    /// Does again what an earlier process did, at its own instant.
    fn repeat(&self, kept: &Kept) {
        let world = self.world(&(kept.account.clone(), kept.region.clone()));
        world.lock().unwrap_or_else(PoisonError::into_inner).advance_to(kept.at);
        let request = Request {
            world: &world,
            body: &kept.body,
            caller: &kept.caller,
            now: kept.at,
            as_of: None,
            default_page: 1,
        };
        if let Err(error) = operations::perform(&kept.operation, &request) {
            tracing::warn!("the simulator's diary tells of a {} that is refused now: {error:?}", kept.operation);
        }
    }

    /// Writes down a request that was granted, if it changes anything and somebody is to continue.
    pub fn keep(&self, operation: &str, request: &Request<'_>, (account, region): &Place) {
        let Some(diary) = self.diary.as_ref().filter(|_| operations::changes(operation)) else { return };
        let (account, region, caller) = (account.clone(), region.clone(), request.caller.to_owned());
        let operation = operation.to_owned();
        diary.keep(Kept { at: request.now, account, region, caller, operation, body: request.body.clone() });
    }

    /// The world of an account and region; an empty one where the file has none.
    pub fn world(&self, place: &Place) -> Arc<Mutex<World>> {
        let mut worlds = self.worlds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(world) = worlds.get(place) {
            return Arc::clone(world);
        }
        let config = self.file.worlds.iter().find(|config| config.account == place.0 && config.region == place.1);
        let minutes = config.and_then(|config: &WorldConfig| config.approval_timeout_minutes).unwrap_or(7 * 24 * 60);
        let world = Arc::new(Mutex::new(World::new(Settings {
            account: place.0.clone(),
            region: place.1.clone(),
            approval_timeout: SignedDuration::from_mins(minutes),
            external_ids: self.file.external_ids,
            stale_window: SignedDuration::from_secs(self.file.stale_window_seconds.unwrap_or(120)),
            seed: self.file.seed,
            pauses: self.diary.as_ref().map(|diary| diary.pauses().to_vec()).unwrap_or_default(),
        })));
        worlds.insert(place.clone(), Arc::clone(&world));
        world
    }

    pub fn places(&self) -> Vec<Place> {
        self.worlds.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }

    /// The first world of the file, which orders go to that name none.
    pub fn default_place(&self) -> Place {
        let first = self.file.worlds.first().map(|world| (world.account.clone(), world.region.clone()));
        first.unwrap_or_else(|| (super::config::DEFAULT_ACCOUNT.to_owned(), "eu-west-1".to_owned()))
    }

    /// Lets everything happen that is due, everywhere.
    pub fn catch_up(&self) {
        for place in self.places() {
            let world = self.world(&place);
            world.lock().unwrap_or_else(PoisonError::into_inner).advance_to(self.clock.now());
        }
        if let Some(diary) = &self.diary {
            diary.beat(self.clock.now());
        }
        self.holds.wake();
    }

    /// Limits the calls to an account and region; `None` lifts the limit.
    pub fn set_rate(&self, place: &Place, rate: Option<Rate>) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        match rate {
            Some(rate) => rates.insert(place.clone(), Bucket { rate, filled: rate.burst, at: self.clock.now() }),
            None => rates.remove(place),
        };
    }

    /// Takes one call from the bucket; false when it is empty.
    pub fn may_call(&self, place: &Place) -> bool {
        let now = self.clock.now();
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bucket) = rates.get_mut(place) else { return true };
        let passed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        bucket.filled = (bucket.filled + passed * bucket.rate.per_second).min(bucket.rate.burst);
        bucket.at = now;
        if bucket.filled < 1.0 {
            return false;
        }
        bucket.filled -= 1.0;
        true
    }

    pub fn request_id(&self) -> String {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        format!("00000000-0000-4000-8000-{number:012x}")
    }
}
