//! Links in mails about approvals (L-01 to L-09): what they are made of, whether one works, and for what. Looking at one
//! never changes anything, however often and by whomever: mail scanners look at everything.
//!
//! A link opens the approval for whoever signs in. Only at gates whose admins chose it, and for the time they chose, it also
//! lets its person decide with the code from the mail's text. This module must never decide, never keep a secret, and never
//! say why a link that does not work does not.

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::PgConnection;

use crate::access::options::find_mail_minutes;
use crate::accounts::Accounts;
use crate::approvals::Approval;
use crate::clock::Clock;
use crate::database::Database;
use crate::domain::ids::{AccountId, ApprovalId, DecisionId, MailedLinkId};
use crate::domain::mailed::{LinkSecret, MailCode, ShownByMail};
use crate::random::Random;
use crate::store::approvals;
use crate::store::mailed_links::{self as table, Found, NewLink, Tried};

/// How long a link opens its approval.
const OPENS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How long a used link shows what became of its decision.
const RESULT_SHOWN: SignedDuration = SignedDuration::from_hours(1);
/// So many wrong codes, and a link is dead (L-02).
pub const MOST_WRONG: i16 = 5;

/// The service for links in mails. Cheap to clone.
#[derive(Debug, Clone)]
pub struct MailedLinks {
    database: Database,
    clock: Clock,
    random: Random,
    accounts: Accounts,
}

/// A link for a letter that is being written. It works once it is kept.
#[derive(Debug)]
pub struct Mailed {
    secret: LinkSecret,
    /// What must be typed to decide, and until when that does.
    pub code: Option<(MailCode, Timestamp)>,
    new: NewLink,
}

impl Mailed {
    /// The path of its address. Goes into the letter, and nowhere else.
    #[must_use]
    pub fn path(&self) -> SecretString {
        SecretString::from(format!("/l/{}", self.secret.text().expose_secret()))
    }

    /// Keeps it, within the transaction that puts the letter into the outbox.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn keep(&self, conn: &mut PgConnection) -> sqlx::Result<()> {
        table::insert(conn, &self.new).await
    }
}

/// What a link that works is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GoodFor {
    /// Whoever signs in sees the approval with their own rights.
    Opening,
    Deciding {
        until: Timestamp,
    },
    /// It decided once; now it only opens.
    OnlyOpening(NoLonger),
}

/// Why a link that once decided does so no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLonger {
    /// Its time was over at this moment.
    Over(Timestamp),
    /// Mails decide nothing at this gate any more, or it asks for fresh proof.
    Withdrawn,
}

/// A link that works.
#[derive(Debug, Clone)]
pub struct Living {
    pub link: Found,
    pub good_for: GoodFor,
}

/// Where a link leads.
#[derive(Debug, Clone)]
pub enum Way {
    Living(Box<Living>),
    /// To what was decided with it.
    Decided,
}

/// Why a link is not followed.
#[derive(Debug, thiserror::Error)]
pub enum NoLink {
    /// Unknown, used, worn out, too old, decided or changed since, or its person may not any more. One answer (L-08).
    #[error("this link does not work, or does so no longer")]
    Dead,
    #[error("too many links that do not work were tried from this address")]
    TooMany { retry_after: Duration },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Until when a mail of this moment decides.
fn end_of(mailed_at: Timestamp, minutes: i32) -> Timestamp {
    mailed_at.checked_add(SignedDuration::from_mins(minutes.into())).unwrap_or(Timestamp::MAX)
}

impl MailedLinks {
    #[must_use]
    pub fn new(database: Database, clock: Clock, random: Random, accounts: Accounts) -> Self {
        Self { database, clock, random, accounts }
    }

    /// A link to this approval for the mail to this person.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn make(
        &self,
        conn: &mut PgConnection,
        (account, mailed_to): (AccountId, &str),
        approval: &Approval,
    ) -> sqlx::Result<Mailed> {
        let now = self.clock.now();
        let after = |span| now.checked_add(span).unwrap_or(Timestamp::MAX);
        let secret = LinkSecret::new(&self.random);
        let minutes = find_mail_minutes(conn, &approval.gate, now).await?;
        let code = minutes.map(|minutes| (MailCode::new(&self.random), end_of(now, minutes)));
        let new = NewLink {
            id: MailedLinkId(self.random.uuid_v7(now)),
            secret_hash: secret.hash(),
            account,
            mailed_to: mailed_to.to_owned(),
            approval: approval.id,
            fingerprint: approval.fingerprint,
            mailed_at: now,
            opens_until: after(OPENS),
            decides: code.as_ref().map(|(code, until)| (*until, secret.hash_code(code))),
        };
        Ok(Mailed { secret, code, new })
    }

    /// Looks a link up for somebody at `address`.
    ///
    /// # Errors
    /// [`NoLink`].
    pub async fn find(&self, secret: &LinkSecret, address: IpAddr) -> Result<Living, NoLink> {
        self.find_living(secret, address).await?.ok_or_else(|| self.refuse(address))
    }

    /// The same, for who may have decided with it already. In this order: another click may use it up between the two looks,
    /// and whoever sees it used sees by what.
    ///
    /// # Errors
    /// [`NoLink`].
    pub async fn find_way(&self, secret: &LinkSecret, address: IpAddr) -> Result<Way, NoLink> {
        if let Some(living) = self.find_living(secret, address).await? {
            return Ok(Way::Living(Box::new(living)));
        }
        match self.find_decision(secret).await? {
            Some(_) => Ok(Way::Decided),
            None => Err(self.refuse(address)),
        }
    }

    async fn find_living(&self, secret: &LinkSecret, address: IpAddr) -> sqlx::Result<Option<Living>> {
        let now = self.clock.now();
        let mut conn = self.database.reads.acquire().await?;
        let Some(link) = table::find_living(&mut conn, &secret.hash(), address, now).await? else {
            return Ok(None);
        };
        let good_for = match link.decides_until {
            None => GoodFor::Opening,
            Some(until) if until <= now => GoodFor::OnlyOpening(NoLonger::Over(until)),
            // As short as is said now, where that was changed since.
            Some(until) => match self.find_minutes(&mut conn, link.approval, now).await? {
                None => GoodFor::OnlyOpening(NoLonger::Withdrawn),
                Some(minutes) => match until.min(end_of(link.mailed_at, minutes)) {
                    until if until <= now => GoodFor::OnlyOpening(NoLonger::Over(until)),
                    until => GoodFor::Deciding { until },
                },
            },
        };
        Ok(Some(Living { link, good_for }))
    }

    async fn find_minutes(&self, conn: &mut PgConnection, id: ApprovalId, now: Timestamp) -> sqlx::Result<Option<i32>> {
        let Some(approval) = approvals::find(conn, id).await? else { return Ok(None) };
        find_mail_minutes(conn, &approval.gate, now).await
    }

    /// Which of these secrets is that of this link.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn find_secret<'a>(
        &self,
        id: MailedLinkId,
        secrets: &'a [LinkSecret],
    ) -> sqlx::Result<Option<&'a LinkSecret>> {
        if secrets.is_empty() {
            return Ok(None);
        }
        let mut conn = self.database.reads.acquire().await?;
        let hash = table::find_secret_hash(&mut conn, id).await?;
        Ok(hash.and_then(|hash| secrets.iter().find(|secret| secret.hash().as_slice() == hash)))
    }

    /// What was decided with this link. None: nothing, or there is none.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn find_decision(&self, secret: &LinkSecret) -> sqlx::Result<Option<(ApprovalId, DecisionId)>> {
        let mut conn = self.database.reads.acquire().await?;
        let now = self.clock.now();
        let since = now.checked_sub(RESULT_SHOWN).unwrap_or(now);
        table::find_decision(&mut conn, &secret.hash(), since).await
    }

    /// Tries what somebody typed, and counts it if it is not the mail's code. Nothing is decided by that.
    ///
    /// # Errors
    /// Whatever the database says.
    pub async fn try_code(&self, shown: ShownByMail) -> sqlx::Result<Tried> {
        let mut conn = self.database.decisions.acquire().await?;
        let tried = table::try_code(&mut conn, shown).await?;
        if let Tried::Wrong(_) = tried {
            self.accounts.count_wrong_mail_code();
        }
        Ok(tried)
    }

    /// Counts a form that was sent without a code: a scanner's doing, most likely (F-38). It costs no try.
    pub fn count_form_without_code(&self) {
        self.accounts.count_wrong_mail_code();
    }

    /// Counts a link that does not work against who showed it.
    #[must_use]
    pub fn refuse(&self, address: IpAddr) -> NoLink {
        match self.accounts.count_refused_link(address) {
            Some(retry_after) => NoLink::TooMany { retry_after },
            None => NoLink::Dead,
        }
    }

    /// Forgets links that open nothing any more. Call it every few minutes.
    ///
    /// # Errors
    /// What was not swept is swept by the next call.
    pub async fn sweep(&self) -> sqlx::Result<()> {
        let mut conn = self.database.pages.acquire().await?;
        table::delete_over(&mut conn, self.clock.now()).await
    }
}
