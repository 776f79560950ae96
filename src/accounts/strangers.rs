//! What strangers do is counted in memory and recorded in bulk, so that an attack can neither fill the disk nor hold the
//! head of the records. Failed sign-ins to existing accounts get a record of their own while the minute has room;
//! all of it together stays under 60 records a minute. What is told of accounts that exist takes no more of a request's time
//! than what is told of others (S-10).

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::records::StillToTell;
use super::{Accounts, By, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::AccountId;
use crate::store::{devices, links, throttle};

/// Records of single failures in one minute, over all replicas. Twice this, for a minute that straddles two, and the
/// minute's sums stay under 60.
const SINGLE: i64 = 25;
/// So many records of their own one process holds until the next flush.
const MOST_HELD: usize = 25;
/// The name under which those places are counted.
const PLACES: &str = "records of their own";
/// The name under which it is asked for a place by who must not have one.
const NO_PLACES: &str = "no records of their own";
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
    /// A link that does not work, or does so no longer.
    LinkRefused,
    /// Too many tries at links from one address.
    LinkThrottled,
    /// What was sent in place of the code in a mail about an approval was not it, or nothing was.
    MailCodeRefused,
    /// A new password was asked for where there is no account that can have one.
    ResetUnknown,
    /// A new password was asked for too often.
    ResetThrottled,
    /// What somebody brought back from an identity provider was not believed.
    ProviderRefused,
    /// An unsafe request that no page of ours made (S-37).
    ForeignRequest,
    /// Something that was shown as an API token and is none that works.
    TokenRefused,
    /// Too many of those from one address.
    TokenThrottled,
    /// A message of another service that was not believed.
    HookRefused,
}

impl Deed {
    fn name(self) -> &'static str {
        match self {
            Self::SignInFailed => "sign_in.failed",
            Self::AddressThrottled => "sign_in.throttled.address",
            Self::AccountThrottled => "sign_in.throttled.account",
            Self::Busy => "sign_in.busy",
            Self::SetupRefused => "setup.refused",
            Self::LinkRefused => "link.refused",
            Self::LinkThrottled => "link.throttled",
            Self::MailCodeRefused => "link.code_refused",
            Self::ResetUnknown => "reset.unknown",
            Self::ResetThrottled => "reset.throttled",
            Self::ProviderRefused => "sign_in.provider_refused",
            Self::ForeignRequest => "request.foreign",
            Self::TokenRefused => "token.refused",
            Self::TokenThrottled => "token.throttled",
            Self::HookRefused => "hook.refused",
        }
    }
}

/// What this process knows since the last flush.
#[derive(Debug, Default)]
pub(super) struct Strangers(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    counts: BTreeMap<&'static str, i64>,
    /// Tries that were not heard, at accounts that exist: what their records are to say.
    throttled: Vec<Value>,
}

impl Held {
    fn add(&mut self, name: &'static str, count: i64) {
        *self.counts.entry(name).or_insert(0) += count;
    }

    fn hold_throttled(&mut self, told: Option<Value>) {
        match told {
            // No minute has room for more.
            Some(told) if self.throttled.len() < MOST_HELD => self.throttled.push(told),
            _ => self.add(Deed::AccountThrottled.name(), 1),
        }
    }
}

impl Strangers {
    pub(super) fn count(&self, deed: Deed) {
        self.lock().add(deed.name(), 1);
    }

    fn take(&self) -> Held {
        std::mem::take(&mut *self.lock())
    }

    fn put_back(&self, held: Held) {
        let mut now = self.lock();
        held.counts.into_iter().for_each(|(name, count)| now.add(name, count));
        held.throttled.into_iter().for_each(|told| now.hold_throttled(Some(told)));
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Hands in what this process counted and holds, and records the minutes that are over, in one record. Call it every
    /// few seconds, and once before the process ends.
    ///
    /// # Errors
    /// Nothing was handed in; it is kept for the next call.
    pub async fn flush_stranger_counts(&self) -> Result<(), Unavailable> {
        let held = self.0.strangers.take();
        let flushed = self.0.database.pulse.or_dead(self.flush(&held)).await;
        if flushed.is_err() {
            self.0.strangers.put_back(held);
        }
        flushed
    }

    async fn flush(&self, held: &Held) -> Result<(), Unavailable> {
        let now = self.0.clock.now();
        let minute = start_of_minute(now);
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let mut throttled = StillToTell::new();
        for told in &held.throttled {
            if self.take_place(&mut tx, Deed::AccountThrottled, true).await? {
                throttled.push((Kind::SignInThrottled, told.clone()));
            }
        }
        for (name, count) in &held.counts {
            throttle::add_count(&mut tx, minute, name, *count).await?;
        }
        let over = start_of_minute(now.checked_sub(SETTLE).unwrap_or(now));
        let old = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(now);
        let counted = throttle::mark_counts_recorded(&mut tx, over, old).await?;
        self.record_all(&mut tx, &By::Stranger, throttled).await?;
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

    /// Counts a message that was sent in another service's name and not believed.
    pub fn count_refused_hook(&self) {
        self.0.strangers.count(Deed::HookRefused);
    }

    /// Sweeps out what limits nobody any more, so that an attack leaves no heap behind. Call it every few minutes.
    ///
    /// # Errors
    /// What was not swept is swept by the next call.
    pub async fn sweep_limits(&self) -> Result<(), Unavailable> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        throttle::delete_spent(&mut conn, now, MOST_STRANGERS).await?;
        links::delete_over(&mut conn, now).await?;
        Ok(devices::delete_over(&mut conn, now).await?)
    }

    /// Takes one of this minute's places for a record that a stranger causes. False: there are none left, or there must be
    /// no record, and what happened is counted. Both ways ask for a place first, so that nobody learns from the time it
    /// takes which it was (S-10).
    pub(super) async fn take_place(
        &self,
        conn: &mut PgConnection,
        deed: Deed,
        may_record: bool,
    ) -> Result<bool, Unavailable> {
        let minute = start_of_minute(self.0.clock.now());
        let (places, most) = if may_record { (PLACES, SINGLE) } else { (NO_PLACES, 0) };
        if throttle::take_place(conn, minute, places, most).await? && may_record {
            return Ok(true);
        }
        throttle::add_count(conn, minute, deed.name(), 1).await?;
        Ok(false)
    }

    /// Tells what a stranger did: by a record while the minute has room for one, else by a count. `told` is absent where
    /// there must be no record.
    pub(super) async fn tell_deed(
        &self,
        conn: &mut PgConnection,
        deed: Deed,
        (kind, by): (Kind, &By),
        told: Option<Value>,
    ) -> Result<(), Unavailable> {
        let mut tx = conn.begin().await?;
        let has_place = self.take_place(&mut tx, deed, told.is_some()).await?;
        if let Some(fields) = told.filter(|_| has_place) {
            self.record(&mut tx, kind, by, fields).await?;
        }
        tx.commit().await?;
        Ok(())
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
        let told = account.map(|account| {
            json!({
                "person": account, "why": why, "failures": failures,
                "address": origin.address, "user_agent": origin.agent(),
            })
        });
        let mut conn = self.0.database.pages.acquire().await?;
        self.tell_deed(&mut conn, Deed::SignInFailed, (Kind::SignInFailed, &By::Stranger), told).await
    }

    /// Tells of a try that was not heard because too many came before it, out of the same places (S-16): of an account
    /// that exists, by a record that the next flush writes. Nothing is asked of the database meanwhile, whether the account
    /// exists or not: there is no hash here in whose time that would not be seen (S-10).
    pub(super) fn hold_throttled(&self, account: Option<AccountId>, origin: &Origin, until: Timestamp) {
        let told = account.map(|account| throttled_told(account, origin, until));
        self.0.strangers.lock().hold_throttled(told);
    }

    /// Tells of the same at once, where who has an account is known.
    pub(super) async fn tell_throttled(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        origin: &Origin,
        until: Timestamp,
    ) -> Result<(), Unavailable> {
        let told = throttled_told(account, origin, until);
        self.tell_deed(conn, Deed::AccountThrottled, (Kind::SignInThrottled, &By::Stranger), Some(told)).await
    }
}

fn throttled_told(account: AccountId, origin: &Origin, until: Timestamp) -> Value {
    json!({ "person": account, "until": until, "address": origin.address, "user_agent": origin.agent() })
}

fn start_of_minute(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second().div_euclid(60) * 60).unwrap_or(at)
}
