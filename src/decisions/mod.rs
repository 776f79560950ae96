//! Decisions: the only writer of decisions and the only caller of `PutApprovalResult`.
//!
//! The heart is [`Decisions::decide`]: the words are checked, the approval is read at AWS, the intent and its record are
//! committed, and only then is anything sent, in a task of its own that no hanging-up browser can stop. Whatever AWS
//! answers is written down in [`outcome`]; whatever it leaves open is settled by reading back in [`settle`].
//!
//! What nobody decides is rejected in [`unattended`], where an admin chose that, and goes the same way. What this module must
//! never do: approve anything by itself; send without a committed intent; send while the fate of an earlier attempt is
//! unknown; aim a decision at anything but the request its person was shown; say "accepted" without AWS's word or our
//! own marker read back; hold a transaction open across a call to AWS.

mod intent;
mod lost;
mod mail;
mod outcome;
mod pace;
mod payload;
mod refusal;
mod send;
mod settle;
mod step_up;
mod unattended;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::access::right::{Refusal, Tagged};
use crate::accounts::Accounts;
use crate::accounts::factors::decision::DecisionAnswer;
use crate::approvals::{Approval, Reader, RefreshError};
use crate::clock::Clock;
use crate::codepipeline::observed::ReadError;
use crate::database::Pool;
use crate::domain::approval::Standing;
use crate::domain::decision::Verdict;
use crate::domain::ids::{AccountId, ApprovalId, DecisionId};
use crate::domain::mailed::ShownByMail;
use crate::domain::people::Approver;
use crate::domain::shown::{Difference, Fingerprint};
use crate::domain::summary::{BadSummary, Summary, room_for};
use crate::hints::{self, Hints, Topic};
use crate::random::Random;
use crate::store::approvals;

pub use crate::domain::decision::Channel;
pub use refusal::Refused;
pub use view::DecisionView;

/// The rule in force, as every record tells it, beside the grants that were relied on.
pub const RULE: &str = "An enabled approver whom a grant lets decide this gate may decide, and one decision is enough.";

/// The same of what the portal rejects by itself.
pub const UNATTENDED_RULE: &str =
    "What nobody has decided within the minutes that an admin chose for its gate is rejected by the portal.";

/// A cheap-to-clone handle on everything that has to do with deciding.
#[derive(Clone)]
pub struct Decisions(Arc<Inner>);

struct Inner {
    pool: Pool,
    reader: Reader,
    clock: Clock,
    random: Random,
    /// This process, as a holder of leases.
    holder: Uuid,
    /// Decisions this process is about to send or sending.
    sending: Mutex<HashSet<DecisionId>>,
    /// Sends under way: they outlive the requests that began them, and a drain waits for them (D-04).
    sends: TaskTracker,
    /// Tells those who wait that a decision has moved on.
    moved: broadcast::Sender<DecisionId>,
    /// Tells them when it was moved elsewhere.
    hints: OnceLock<Hints>,
    /// What could not be rejected under a rule just now, and when that is tried again.
    not_before: Mutex<HashMap<ApprovalId, Timestamp>>,
    /// Judges what passkeys have signed.
    accounts: OnceLock<Accounts>,
}

/// What a person asks for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub approval: ApprovalId,
    /// Of what the person was shown.
    pub fingerprint: Fingerprint,
    pub verdict: Verdict,
    /// As typed.
    pub summary: String,
    /// The form's one-use key, or the `Idempotency-Key` of an API call.
    pub key: String,
    pub channel: Channel,
    /// A passkey's signature under it, where the page asked for one.
    pub proof: Option<DecisionAnswer>,
    /// The link and the code of a mail, where nobody is signed in. Used up with the decision (L-05).
    pub mail: Option<ShownByMail>,
}

/// Why nothing was decided by this post. In every case it sent nothing to AWS, and but for [`DecideError::Unknown`] it will
/// not. Another post of the same form may be under way and decide after all.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    #[error(transparent)]
    BadSummary(#[from] BadSummary),
    #[error("there is no such approval")]
    NoSuchApproval,
    #[error("{0}")]
    NotAllowed(String),
    /// The gate asks for fresh proof of who decides (S-18). `why`: what was shown was not right.
    #[error("this gate asks for fresh proof of who decides{}", .why.map(|why| format!(": {why}")).unwrap_or_default())]
    StepUpNeeded { why: Option<&'static str> },
    #[error("what waits is no longer what was shown")]
    Changed { now: Box<Approval>, differences: Vec<Difference> },
    #[error("the approval no longer waits: it is {standing}")]
    NotOpen { now: Box<Approval>, standing: Standing },
    #[error("{by} has already {verdict} it")]
    AlreadyDeciding { decision: DecisionId, by: String, verdict: Verdict },
    /// The mail that was shown decides nothing: it was used, its time is over, or the gate takes none any more.
    #[error("this mail decides nothing any more")]
    MailSpent,
    #[error("this form was already sent with other content")]
    KeyReused,
    #[error("AWS could not be read just now: {0}")]
    Unreadable(ReadError),
    /// This post recorded nothing.
    #[error("the database did not answer")]
    Unavailable,
    /// The database was cut off while it committed. If the decision was kept it will be sent; the same form sent again
    /// counts once and finds out.
    #[error("it is not known whether the database recorded it")]
    Unknown,
}

impl DecideError {
    fn is_held(&self) -> bool {
        matches!(self, Self::AlreadyDeciding { .. })
    }

    /// Whether finding it out took time in which the same form may have decided: a look at AWS, at others, at the account.
    fn may_be_old_news(&self) -> bool {
        self.is_held()
            || matches!(
                self,
                Self::Unreadable(_)
                    | Self::NotOpen { .. }
                    | Self::Changed { .. }
                    | Self::NotAllowed(_)
                    | Self::StepUpNeeded { .. }
                    | Self::MailSpent
            )
    }
}

impl From<sqlx::Error> for DecideError {
    fn from(error: sqlx::Error) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "a decision could not be recorded by this post, which sent nothing"
        );
        Self::Unavailable
    }
}

impl Decisions {
    #[must_use]
    pub fn new(pool: Pool, reader: Reader, clock: Clock, random: Random) -> Self {
        let holder = random.uuid_v4();
        let (moved, _) = broadcast::channel(256);
        Self(Arc::new(Inner {
            pool,
            reader,
            clock,
            random,
            holder,
            sending: Mutex::default(),
            not_before: Mutex::default(),
            sends: TaskTracker::new(),
            moved,
            hints: OnceLock::new(),
            accounts: OnceLock::new(),
        }))
    }

    /// Hears from `hints` what other replicas did, so that nobody waits longer for them than for this one.
    #[must_use]
    pub fn hearing(self, hints: &Hints) -> Self {
        self.0.hints.get_or_init(|| hints.clone());
        self
    }

    /// Takes decisions that a passkey has signed, by these accounts' word.
    #[must_use]
    pub fn proving(self, accounts: &Accounts) -> Self {
        self.0.accounts.get_or_init(|| accounts.clone());
        self
    }

    /// Decides: commits the intent with its record, and starts sending. Returns as soon as the intent is committed;
    /// [`Decisions::await_answer`] waits for what AWS says.
    ///
    /// The same key and content gives the same decision again, however often and from wherever it is asked.
    ///
    /// # Errors
    /// [`DecideError`]: nothing was sent, and the attempt is on record.
    pub async fn decide(&self, by: &Approver, ask: Ask) -> Result<DecisionId, DecideError> {
        let limit = room_for(&by.person().name);
        let words = Summary::parse(&ask.summary, limit, ask.verdict == Verdict::Rejected)?;
        let decided = self.decide_once(by, &ask, &words).await;
        if let Err(refused) = &decided {
            self.record_refusal(by.person(), &ask, refused).await;
        }
        decided
    }

    /// The same form leads to the same decision: looked up before anything is done, and again before it is refused,
    /// because its other click may have been quicker, or have read AWS when this one could not (D-03).
    async fn decide_once(&self, by: &Approver, ask: &Ask, words: &Summary) -> Result<DecisionId, DecideError> {
        match self.decide_anew(by, ask, words).await {
            Err(refused) if refused.may_be_old_news() => match self.find_by_key(by.person().account, ask).await {
                // Who holds it may be this very form.
                Err(DecideError::Unavailable) if refused.is_held() => Err(DecideError::Unknown),
                found => found?.ok_or(refused),
            },
            decided => decided,
        }
    }

    async fn decide_anew(&self, by: &Approver, ask: &Ask, words: &Summary) -> Result<DecisionId, DecideError> {
        if let Some(earlier) = self.find_own(by.person().account, ask).await? {
            return Ok(earlier);
        }
        let live = self.read_now(ask.approval).await?;
        self.refuse_if_changed(ask, &live).await?;
        let shown = self.look_at_proof(by.person(), ask).await?;
        let (intent, is_new) = Box::pin(self.commit_allowed(by, (ask, words, &shown), &live)).await?;
        if is_new {
            self.send_in_background(intent);
        }
        Ok(intent)
    }

    /// Commits the intent in the right that the person has. Where that hangs on the pipeline's tags, they are read first,
    /// and no transaction waits for AWS.
    async fn commit_allowed(
        &self,
        by: &Approver,
        asked: (&Ask, &Summary, &step_up::Shown),
        live: &Approval,
    ) -> Result<(DecisionId, bool), DecideError> {
        let mut tagged = Tagged::Unasked;
        loop {
            match self.commit_intent(by, asked, live, &tagged).await? {
                Ok(committed) => return Ok(committed),
                Err(Refusal::No(why)) => return Err(DecideError::NotAllowed(why)),
                Err(Refusal::AskForTags) => tagged = self.ask_for_tags(live).await?,
            }
        }
    }

    /// What AWS says the pipeline is tagged with, or why it does not.
    async fn ask_for_tags(&self, approval: &Approval) -> Result<Tagged, DecideError> {
        match Box::pin(self.0.reader.read_tags(&approval.gate)).await {
            Ok(tags) => Ok(Tagged::Are(tags)),
            Err(RefreshError::Database(error)) => Err(error.into()),
            Err(RefreshError::Unreadable(why)) => Ok(Tagged::Unreadable(why.explain())),
            Err(RefreshError::NoSuchApproval) => Err(DecideError::NoSuchApproval),
        }
    }

    /// Reads the approval at AWS now, so that nobody decides on what is not there any more.
    async fn read_now(&self, id: ApprovalId) -> Result<Approval, DecideError> {
        Box::pin(self.0.reader.refresh(id)).await.map_err(|error| match error {
            RefreshError::NoSuchApproval => DecideError::NoSuchApproval,
            RefreshError::Unreadable(why) => DecideError::Unreadable(why),
            RefreshError::Database(error) => error.into(),
        })
    }

    /// What you see is what you sign (S-36).
    async fn refuse_if_changed(&self, ask: &Ask, live: &Approval) -> Result<(), DecideError> {
        let standing = Standing::derive(live.at_aws, None);
        if !standing.is_open() {
            // Rather than "it is approved": who here did it.
            self.refuse_if_held(ask).await?;
            return Err(DecideError::NotOpen { now: Box::new(live.clone()), standing });
        }
        if live.fingerprint == ask.fingerprint {
            return Ok(());
        }
        let mut conn = self.0.pool.acquire().await?;
        let seen = approvals::find_shown(&mut conn, ask.approval, ask.fingerprint).await?;
        let differences = seen.map(|seen| seen.differences(&live.shown)).unwrap_or_default();
        Err(DecideError::Changed { now: Box::new(live.clone()), differences })
    }

    /// Waits until the decision is settled or unsure, at most `at_most`, and tells how it stands.
    ///
    /// # Errors
    /// Whatever the database says, also [`sqlx::Error::RowNotFound`].
    pub async fn await_answer(&self, id: DecisionId, at_most: Duration) -> sqlx::Result<DecisionView> {
        let deadline = tokio::time::Instant::now() + at_most;
        loop {
            // Subscribed before looking, so that nothing is missed in between.
            let (mut moved, hints) = (self.0.moved.subscribe(), self.0.hints.get().map(Hints::listen));
            // While it is sent from here, there is nothing to see yet and word will come.
            let elsewhere = if self.sending().contains(&id) {
                None
            } else {
                let view = self.find(id).await?.ok_or(sqlx::Error::RowNotFound)?;
                if view.is_answered() {
                    return Ok(view);
                }
                Some(view.approval)
            };
            // Another replica may do the sending, and its hint be late; looking again now and then costs little.
            let look_again = tokio::time::Instant::now() + Duration::from_millis(500);
            let heard = async {
                tokio::select! {
                    () = async { while moved.recv().await.is_ok_and(|other| other != id) {} } => {}
                    () = hinted(hints, elsewhere) => {}
                }
            };
            if tokio::time::timeout_at(deadline.min(look_again), heard).await.is_err()
                && tokio::time::Instant::now() >= deadline
            {
                return self.find(id).await?.ok_or(sqlx::Error::RowNotFound);
            }
        }
    }

    /// The decision as a page tells it.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn find(&self, id: DecisionId) -> sqlx::Result<Option<DecisionView>> {
        let mut conn = self.0.pool.acquire().await?;
        view::find(&mut conn, id).await
    }

    /// Waits until no send is under way.
    pub async fn quiet(&self) {
        self.0.sends.close();
        self.0.sends.wait().await;
        self.0.sends.reopen();
    }

    /// Waits until every send under way has ended, and gives back what this process was holding. Call once nothing new is
    /// accepted any more.
    pub async fn drain(&self) {
        self.quiet().await;
        if let Ok(mut conn) = self.0.pool.acquire().await {
            let _ = crate::store::decisions::moves::release(&mut conn, self.0.holder).await;
        }
    }

    /// The decision an earlier post of the same form led to.
    async fn find_by_key(&self, account: AccountId, ask: &Ask) -> Result<Option<DecisionId>, DecideError> {
        let mut conn = self.0.pool.acquire().await?;
        intent::find_by_key(&mut conn, account, ask).await
    }

    fn sending(&self) -> MutexGuard<'_, HashSet<DecisionId>> {
        self.0.sending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_moved(&self, id: DecisionId) {
        // Nobody listening is fine.
        let _ = self.0.moved.send(id);
    }
}

/// Returns when a hint is about this approval; without one, never.
async fn hinted(hints: Option<hints::Listener>, approval: Option<ApprovalId>) {
    let (Some(mut hints), Some(approval)) = (hints, approval) else { return std::future::pending().await };
    while hints
        .next()
        .await
        .is_some_and(|topic| !matches!(topic, Topic::Everything) && topic != Topic::Approval(approval))
    {}
}

/// A one-use key for a form.
#[must_use]
pub fn new_form_key(random: &Random) -> String {
    hex::encode(random.bytes::<16>())
}
