//! What strangers do is counted in memory and recorded in bulk, so that an attack can neither fill the disk nor hold the
//! head of the records. Failed sign-ins to existing accounts get a record of their own while the minute has room;
//! all of it together stays under 60 records a minute.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::Connection as _;

use super::{Accounts, By, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::store::throttle;

/// Records of single failures in one minute, over all replicas. Twice this, for a minute that straddles two, and the
/// minute's sums stay under 60.
const SINGLE: i64 = 25;
/// The name under which those places are counted.
const PLACES: &str = "records of their own";
/// How long after its end a minute is summed up: by then every replica has handed its counts in.
const SETTLE: SignedDuration = SignedDuration::from_secs(30);
/// E-mails without an account whose failures are remembered. So many rows are a few megabytes.
const MOST_STRANGERS: i64 = 10_000;

/// What a stranger can cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deed {
    SignInFailed,
    /// Too many tries from one address.
    AddressThrottled,
    /// Too many tries at one e-mail.
    AccountThrottled,
    Busy,
    SetupRefused,
    /// An unsafe request that no page of ours made (S-37).
    ForeignRequest,
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Self::SignInFailed => "sign_in.failed",
            Self::AddressThrottled => "sign_in.throttled.address",
            Self::AccountThrottled => "sign_in.throttled.account",
            Self::Busy => "sign_in.busy",
            Self::SetupRefused => "setup.refused",
            Self::ForeignRequest => "request.foreign",
        }
    }
}

/// This process's counts since the last flush.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<BTreeMap<&'static str, i64>>);

impl Strangers {
    pub(super) fn count(&self, deed: Deed) {
        self.add(deed.name(), 1);
    }

    fn add(&self, name: &'static str, count: i64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_insert(0) += count;
    }

    fn take(&self) -> BTreeMap<&'static str, i64> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Accounts {
    /// Hands this process's counts in, and records the minutes that are over: at most one record a call. Call it every few
    /// seconds, and once before the process ends.
    ///
    /// # Errors
    /// Nothing was handed in; the counts are kept for the next call.
    pub async fn flush_stranger_counts(&self) -> Result<(), Unavailable> {
        let counts = self.0.strangers.take();
        let flushed = self.0.database.pulse.or_dead(self.flush(&counts)).await;
        if flushed.is_err() {
            counts.iter().for_each(|(name, count)| self.0.strangers.add(name, *count));
        }
        flushed
    }

    async fn flush(&self, counts: &BTreeMap<&'static str, i64>) -> Result<(), Unavailable> {
        let now = self.0.clock.now();
        let minute = start_of_minute(now);
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        for (name, count) in counts {
            throttle::add_count(&mut tx, minute, name, *count).await?;
        }
        let over = start_of_minute(now.checked_sub(SETTLE).unwrap_or(now));
        let old = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(now);
        let counted = throttle::mark_counts_recorded(&mut tx, over, old).await?;
        if let (Some(first), Some(last)) = (counted.first(), counted.last()) {
            let mut sums = BTreeMap::<&str, i64>::new();
            counted.iter().for_each(|count| *sums.entry(&count.kind).or_insert(0) += count.count);
            let fields =
                json!({ "from": first.minute, "until": last.minute + SignedDuration::from_mins(1), "counts": sums });
            self.record(&mut tx, Kind::StrangersCounted, &By::System, fields).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Counts an unsafe request that no page of the portal made. Anybody can cause any number of them, with or without
    /// somebody's cookie, so they are recorded as sums.
    pub fn count_foreign_request(&self) {
        self.0.strangers.count(Deed::ForeignRequest);
    }

    /// Sweeps out what limits nobody any more, so that an attack leaves no heap behind. Call it every few minutes.
    ///
    /// # Errors
    /// What was not swept is swept by the next call.
    pub async fn sweep_limits(&self) -> Result<(), Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(throttle::delete_spent(&mut conn, self.0.clock.now(), MOST_STRANGERS).await?)
    }

    /// Tells of a failed sign-in: by a record of its own for an account that exists, while the minute has room; else by a
    /// count. An unknown e-mail is never written down: people type passwords into the wrong field.
    pub(super) async fn tell_failure(
        &self,
        account: Option<AccountId>,
        origin: &Origin,
        why: &'static str,
        failures: i32,
    ) -> Result<(), Unavailable> {
        tracing::warn!(account = account.map(tracing::field::display), address = %origin.address, why, "sign-in failed");
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let minute = start_of_minute(self.0.clock.now());
        match account {
            Some(account) if throttle::take_place(&mut tx, minute, PLACES, SINGLE).await? => {
                let fields = json!({
                    "person": account, "why": why, "failures": failures,
                    "address": origin.address, "user_agent": origin.agent(),
                });
                self.record(&mut tx, Kind::SignInFailed, &By::Stranger, fields).await?;
            }
            _ => throttle::add_count(&mut tx, minute, Deed::SignInFailed.name(), 1).await?,
        }
        tx.commit().await?;
        Ok(())
    }

    /// Tells of a try that was not heard because too many came before it, as [`Accounts::tell_failure`] does and out of the
    /// same places (S-16).
    pub(super) async fn tell_throttled(
        &self,
        account: Option<AccountId>,
        origin: &Origin,
        until: Timestamp,
    ) -> Result<(), Unavailable> {
        let Some(account) = account else {
            self.0.strangers.count(Deed::AccountThrottled);
            return Ok(());
        };
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        if throttle::take_place(&mut tx, start_of_minute(self.0.clock.now()), PLACES, SINGLE).await? {
            let fields = json!({
                "person": account, "until": until, "address": origin.address, "user_agent": origin.agent(),
            });
            self.record(&mut tx, Kind::SignInThrottled, &By::Stranger, fields).await?;
        } else {
            self.0.strangers.count(Deed::AccountThrottled);
        }
        tx.commit().await?;
        Ok(())
    }
}

fn start_of_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(60) * 60).unwrap_or(at)
}
