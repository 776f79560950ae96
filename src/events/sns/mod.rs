//! What SNS delivers over HTTPS, at `/hooks/sns`: anybody can send anything there, so everything that makes a message genuine is
//! in here, check by check, the cheap ones first, and nothing is fetched or written before they are passed (U-06). What a genuine
//! message says is read where every announcement is, and is no more than a hint there (U-08).
//!
//! It must never fetch an address that a message names, but a certificate's where SNS has them (U-07); never log what a message
//! holds; and never tell a sender why a message was refused.

mod certificate;
mod confirming;
mod envelope;
mod fetching;
mod judging;
mod refusal;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use certificate::Trust;
pub use envelope::LARGEST;
pub use refusal::Refusal;

use super::{Events, Heeded};
use crate::accounts::Knocks;
use crate::approvals::Reader;
use crate::clock::Clock;
use crate::codepipeline::Gateway;
use crate::config::HooksConfig;
use crate::database::Database;
use crate::database::outage::is_transient;
use crate::store::hooks::{self, Claim};
use fetching::Certificates;
use judging::{Genuine, Said};
use refusal::Refusals;

/// How long SNS is asked to wait before it sends a message again that could not be taken.
pub const AGAIN: Duration = Duration::from_secs(20);
/// A message is taken once in this time. It may be an hour old, so it is refused for its age long before.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24);
/// A message may be in somebody's hands for so long: beyond what SNS waits for an answer. Whoever has it for longer has died.
const IN_HAND: SignedDuration = SignedDuration::from_secs(30);
/// Messages of one address that are not genuine: so many at once, and one more each second. Genuine ones do not count.
const REFUSED_AT_ONCE: i32 = 60;
const REFUSED_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Messages that are held at one time, each at most twice: as it came, and as it was read.
const AT_A_TIME: usize = 128;

/// The end where SNS delivers. Cheap to clone.
#[derive(Clone)]
pub struct Sns(Option<Arc<Inner>>);

/// What the end belongs to.
#[derive(Clone)]
struct House {
    config: HooksConfig,
    events: Events,
    gateways: Vec<Gateway>,
    database: Database,
    clock: Clock,
}

struct Inner {
    house: House,
    certificates: Certificates,
    knocks: Knocks,
    places: Arc<Semaphore>,
    counts: Counts,
    refusals: Refusals,
}

#[derive(Default)]
struct Counts {
    taken: AtomicU64,
    confirmed: AtomicU64,
    not_understood: AtomicU64,
}

/// How the end does, in this process's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnsStatus {
    /// Genuine messages.
    pub taken: u64,
    /// Subscriptions that were confirmed.
    pub confirmed: u64,
    /// Genuine, and not to be understood.
    pub not_understood: u64,
    /// Messages that were not taken, by reason.
    pub refused: BTreeMap<Refusal, u64>,
}

/// A message that may be read and looked at: it has a place until this is dropped.
#[derive(Debug)]
pub struct Admission {
    address: IpAddr,
    _place: OwnedSemaphorePermit,
}

/// Why a message is not even read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// No topic is listed (U-05).
    Off,
    /// Too many that were refused came from this address.
    TooMany { until: Timestamp },
    /// So many are being looked at that there is no room for more.
    Full,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    Well,
    Refused(Refusal),
    /// It may be genuine, and could not be taken just now: SNS sends it again.
    Later,
}

/// The end cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Trust(String),
    #[error("certificates of SNS's could not be fetched, because TLS cannot be set up: {0}")]
    Tls(#[from] reqwest::Error),
}

impl Sns {
    /// Opens the end for the listed topics; without any there is none.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(config: &HooksConfig, events: &Events, reader: &Reader, clock: &Clock) -> Result<Self, OpenError> {
        if config.sns_topics.is_empty() {
            return Ok(Self(None));
        }
        let trust = Trust::public(&config.sns_intermediates).map_err(OpenError::Trust)?;
        let house = House {
            config: config.clone(),
            events: events.clone(),
            gateways: reader.gateways().cloned().collect(),
            database: reader.database().clone(),
            clock: clock.clone(),
        };
        Ok(Self(Some(Arc::new(Inner::open(house, trust)?))))
    }

    /// The same end, which has taken nothing yet and believes others than the public roots.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn trusting(&self, trust: Trust) -> Result<Self, OpenError> {
        let Some(inner) = &self.0 else { return Ok(Self(None)) };
        Ok(Self(Some(Arc::new(Inner::open(inner.house.clone(), trust)?))))
    }

    /// Lets a message of this address in, before anything of its body is read.
    ///
    /// # Errors
    /// [`NotAdmitted`].
    pub fn admit(&self, address: IpAddr) -> Result<Admission, NotAdmitted> {
        let inner = self.0.as_ref().ok_or(NotAdmitted::Off)?;
        let now = inner.now();
        if let Some(until) = inner.knocks.knock(address, now) {
            inner.refusals.tell(Refusal::TooMany, now);
            return Err(NotAdmitted::TooMany { until });
        }
        let place = Arc::clone(&inner.places).try_acquire_owned().map_err(|_| {
            inner.knocks.take_back(address);
            NotAdmitted::Full
        })?;
        Ok(Admission { address, _place: place })
    }

    /// Counts a message that was too large to be read.
    pub fn count_too_large(&self) {
        if let Some(inner) = &self.0 {
            inner.refusals.tell(Refusal::TooLarge, inner.now());
        }
    }

    /// Takes a message. `is_raw`: it says that it comes without an envelope.
    pub async fn take(&self, admission: &Admission, is_raw: bool, body: &[u8]) -> Taken {
        let Some(inner) = &self.0 else { return Taken::Refused(Refusal::OtherTopic) };
        let taken = match inner.judge(is_raw, body).await {
            Ok(genuine) => inner.take_once(genuine).await,
            Err(Refusal::CertificateAway) => {
                inner.refusals.tell(Refusal::CertificateAway, inner.now());
                return Taken::Later;
            }
            Err(why) => Taken::Refused(why),
        };
        match taken {
            Taken::Refused(why) => inner.refusals.tell(why, inner.now()),
            Taken::Well | Taken::Later => inner.knocks.take_back(admission.address),
        }
        taken
    }

    /// How the end does. None where no topic is listed.
    #[must_use]
    pub fn status(&self) -> Option<SnsStatus> {
        let inner = self.0.as_ref()?;
        let now = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Some(SnsStatus {
            taken: now(&inner.counts.taken),
            confirmed: now(&inner.counts.confirmed),
            not_understood: now(&inner.counts.not_understood),
            refused: inner.refusals.counts(),
        })
    }

    /// Forgets the messages that can come again no more. Call it every few minutes.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn forget_taken(&self) -> sqlx::Result<()> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let since = inner.before(REMEMBERED);
        hooks::delete_messages_before(&mut *inner.house.database.pages.acquire().await?, since).await
    }
}

impl Inner {
    fn open(house: House, trust: Trust) -> Result<Self, reqwest::Error> {
        Ok(Self {
            certificates: Certificates::open(trust, house.clock.clone())?,
            house,
            knocks: Knocks::new(REFUSED_AT_ONCE, REFUSED_EVERY),
            places: Arc::new(Semaphore::new(AT_A_TIME)),
            counts: Counts::default(),
            refusals: Refusals::default(),
        })
    }

    fn now(&self) -> Timestamp {
        self.house.clock.now()
    }

    /// Takes a genuine message, unless it was taken before. What cannot be done now is done when SNS sends it again.
    async fn take_once(&self, genuine: Genuine) -> Taken {
        match self.house.database.pulse.or_dead(self.claim(&genuine.message_id)).await {
            Ok(Claim::Ours) => {}
            Ok(Claim::Done) => return Taken::Refused(Refusal::Replayed),
            Ok(Claim::InHand) => return Taken::Later,
            Err(error) => return self.later(&error),
        }
        let done = match genuine.said {
            Said::Something(text) => self.heed(&text).await,
            Said::Subscribed { token } => self.confirm(genuine.topic, &token).await,
            Said::Unsubscribed => {
                tracing::warn!(topic = %genuine.topic, "SNS no longer delivers this topic here: its subscription was removed");
                true
            }
        };
        if done {
            add(&self.counts.taken);
            // Where this is lost, the message may be taken once more, and the same comes of it.
            if let Err(error) = self.house.database.pulse.or_dead(self.finish(&genuine.message_id)).await {
                self.later(&error);
            }
            return Taken::Well;
        }
        if let Err(error) = self.house.database.pulse.or_dead(self.release(&genuine.message_id)).await {
            return self.later(&error);
        }
        Taken::Later
    }

    fn later(&self, error: &sqlx::Error) -> Taken {
        // A database that is away is told by its pulse, once.
        if is_transient(error) {
            tracing::debug!(%error, "a message of SNS's is left to come again");
        } else {
            tracing::error!(%error, "a message of SNS's could not be taken; it is left to come again");
        }
        Taken::Later
    }

    async fn claim(&self, message_id: &str) -> sqlx::Result<Claim> {
        let (since, in_hand) = (self.before(REMEMBERED), self.before(IN_HAND));
        let mut conn = self.house.database.pages.acquire().await?;
        hooks::claim_message(&mut conn, message_id, self.now(), (since, in_hand)).await
    }

    async fn finish(&self, message_id: &str) -> sqlx::Result<()> {
        let mut conn = self.house.database.pages.acquire().await?;
        hooks::mark_message_done(&mut conn, message_id, self.now()).await
    }

    async fn release(&self, message_id: &str) -> sqlx::Result<()> {
        let mut conn = self.house.database.pages.acquire().await?;
        hooks::release_message(&mut conn, message_id).await
    }

    fn before(&self, span: SignedDuration) -> Timestamp {
        self.now().checked_sub(span).unwrap_or(Timestamp::MIN)
    }

    /// Hands a message over to where announcements are followed. False: it could not be.
    async fn heed(&self, text: &str) -> bool {
        match self.house.database.pulse.or_dead(self.house.events.heed(text)).await {
            Ok(Heeded::NotUnderstood(why)) => {
                // Said once: what else is published to the topic may come by the thousand.
                if self.counts.not_understood.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::warn!(
                        why,
                        "a message of SNS's cannot be understood; what else is published to the topic?"
                    );
                }
                true
            }
            Ok(Heeded::Held | Heeded::Beside | Heeded::Elsewhere) => true,
            // There is no room for it: it is left to come again.
            Ok(Heeded::TooMuch) => false,
            Err(error) => {
                self.later(&error);
                false
            }
        }
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}
