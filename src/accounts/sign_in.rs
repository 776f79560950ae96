//! Signing in, and the limits on trying.
//!
//! Whoever is not let in learns nothing about who has an account: unknown, disabled and wrong cost the same work, wait the
//! same times, and read the same (S-10). A try is counted as failed before its password is looked at, so that many at
//! once cannot share one count.

use std::net::IpAddr;
use std::time::Duration;

use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use sqlx::Connection as _;
use sqlx::PgConnection;
use zeroize::Zeroizing;

use super::ceremonies::Holder;
use super::hasher::{Busy, Checked, Seat};
use super::identity::EmailKey;
use super::password;
use super::strangers::Deed;
use super::{Accounts, NewSession, Origin, Unavailable, until};
use crate::store::accounts::{self, Account};
use crate::store::factors::load_kinds;
use crate::store::throttle::{self, Bucket, Try, clear_tries};

/// Seconds to wait after the n-th failure in a row (S-11).
pub(super) const WAITS: [i32; 15] = [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900];
/// So many failures in a row switch an account's password off until it is reset (NIST SP 800-63B-4, 3.2.2).
pub(super) const MOST_FAILURES: i32 = 100;
/// Tries from one address (S-13).
const ADDRESS: Bucket = Bucket { interval: Duration::from_secs(6), burst: 10 };
/// How long a password that the portal made up serves: for a new account, and after a reset (S-06).
const MADE_UP_NEW: SignedDuration = SignedDuration::from_hours(24);
const MADE_UP_RESET: SignedDuration = SignedDuration::from_hours(1);

/// One try to sign in.
#[derive(Debug)]
pub struct SignIn {
    pub email: String,
    pub password: SecretString,
    pub origin: Origin,
    /// The session cookie that came with the request, if any: that session ends when this one begins (S-25).
    pub replaces: Option<SecretString>,
    /// Who can go on where a second factor is needed.
    pub holder: Holder,
    /// Where the person wanted to go, for when they have shown it.
    pub return_to: String,
}

/// The password was right.
#[derive(Debug)]
pub enum SignedIn {
    Session(Box<NewSession>),
    /// The account has a second factor, which is to be shown next; until then nobody is signed in.
    NeedsSecond,
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Unknown, disabled or wrong: nobody learns which (S-10). 401.
    #[error("E-mail or password is wrong.")]
    Wrong,
    /// Too many tries, from this address or for this account (S-11, S-13). 429.
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    /// Too many passwords are being checked at once (S-09). 503.
    #[error("Too many people are signing in.")]
    Busy { retry_after: Duration },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<Busy> for SignInError {
    fn from(busy: Busy) -> Self {
        Self::Busy { retry_after: busy.retry_after }
    }
}

/// A password that was looked at.
pub(super) struct Tried {
    /// The account it is right for.
    pub account: Option<Account>,
    pub seat: Seat,
    pub password: Zeroizing<String>,
    outdated: bool,
}

impl Accounts {
    /// Checks a password, and begins a session or the step to the second factor.
    ///
    /// # Errors
    /// [`SignInError`]. `Wrong` has been counted against the e-mail; `TooMany` and `Busy` have not.
    pub async fn sign_in(&self, ask: SignIn) -> Result<SignedIn, SignInError> {
        self.pass_address(ask.origin.address).await?;
        let seat = self.seat().await?;
        let tried = self.try_password(seat, &EmailKey::of(&ask.email), &ask.password, &ask.origin).await?;
        let Some(account) = tried.account else { return Err(SignInError::Wrong) };
        let phc = match tried.outdated {
            true => Some(tried.seat.hash(&tried.password, &self.0.random).await.map_err(Unavailable::from)?.1),
            false => None,
        };
        self.begin(&account, phc, &ask).await?.ok_or(SignInError::Wrong)
    }

    /// Lets a limited number of tries from one address through, before anything costly is done (S-13).
    pub(super) async fn pass_address(&self, address: IpAddr) -> Result<(), SignInError> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await.map_err(Unavailable::from)?;
        let wait =
            throttle::take_token(&mut conn, &bucket_of(address), ADDRESS, now).await.map_err(Unavailable::from)?;
        let Some(then) = wait else { return Ok(()) };
        self.0.strangers.count(Deed::AddressThrottled);
        Err(SignInError::TooMany { retry_after: until(then, now) })
    }

    pub(super) async fn seat(&self) -> Result<Seat, Busy> {
        self.0.hasher.seat().await.inspect_err(|_| self.0.strangers.count(Deed::Busy))
    }

    /// Looks at one password for one e-mail. Failures are counted and told of; they stay counted until a transaction that
    /// acts on the success calls `clear_tries`.
    pub(super) async fn try_password(
        &self,
        seat: Seat,
        email: &EmailKey,
        typed: &SecretString,
        origin: &Origin,
    ) -> Result<Tried, SignInError> {
        let now = self.0.clock.now();
        let (heard, account, is_taken) = self.begin_try(email, origin).await?;
        let failures = match heard {
            Try::Heard { failures } => failures,
            Try::Waits { until: then } => {
                self.hold_throttled(account.map(|account| account.id), origin, then);
                return Err(SignInError::TooMany { retry_after: until(then, now) });
            }
        };
        // What is too long is nobody's password; the work is done all the same.
        let normal = password::normalise(typed);
        let barred = account.as_ref().and_then(|account| self.barred(account, failures));
        let barred = barred.or((!is_taken).then_some("local sign-in is off"));
        let usable = account.as_ref().filter(|_| barred.is_none() && normal.is_some());
        let stored = usable.and_then(|account| account.password_phc.as_ref()).map(ExposeSecret::expose_secret);
        let password = normal.unwrap_or_default();
        let (seat, Checked { matches, outdated }) = seat.check(&password, stored).await.map_err(Unavailable::from)?;
        if !matches {
            let why = barred.unwrap_or("wrong password");
            self.tell_failure(account.map(|account| account.id), origin, why, failures).await?;
            return Ok(Tried { account: None, seat, password, outdated: false });
        }
        Ok(Tried { account, seat, password, outdated })
    }

    async fn begin_try(&self, email: &EmailKey, origin: &Origin) -> Result<(Try, Option<Account>, bool), Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let heard = match self.begin_try_in_browser(&mut conn, email, origin).await? {
            Some(heard) => heard,
            None => throttle::begin_try(&mut conn, &email.hash(), &WAITS, self.0.clock.now()).await?,
        };
        let account = accounts::find_by_email(&mut conn, email.as_str()).await?;
        Ok((heard, account, self.takes_password_of(&mut conn, email).await?))
    }

    /// Why an account's password is not even looked at, for the record alone.
    fn barred(&self, account: &Account, failures: i32) -> Option<&'static str> {
        let serves = if account.password_changed_at == Some(account.created_at) { MADE_UP_NEW } else { MADE_UP_RESET };
        // A person's own, known to others: without a limit, because nothing else may be left to come in with.
        let too_old = account.must_change_password
            && !account.is_compromised()
            && account.password_changed_at.is_none_or(|at| self.0.clock.now().duration_since(at) > serves);
        if account.disabled_at.is_some() {
            Some("disabled")
        } else if failures > MOST_FAILURES {
            Some("password off after 100 failures")
        } else if too_old {
            Some("one-time password too old")
        } else {
            None
        }
    }

    /// Begins the session, or the second step, unless the account changed while the password was being checked.
    async fn begin(
        &self,
        checked: &Account,
        phc: Option<String>,
        ask: &SignIn,
    ) -> Result<Option<SignedIn>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let Some(account) = lock_unchanged(&mut tx, checked).await? else { return Ok(None) };
        clear_tries(&mut tx, &EmailKey::of(&account.email_key).hash()).await?;
        if let Some(phc) = &phc {
            accounts::mark_password(&mut tx, account.id, phc, None).await?;
        }
        let done = if load_kinds(&mut tx, account.id).await?.any() {
            // A password that was hashed anew is a change of its own.
            let version = account.version + i64::from(phc.is_some());
            let account = Account { version, ..account };
            self.ask_second(&mut tx, &account, "password", (ask.holder, &ask.return_to)).await?;
            SignedIn::NeedsSecond
        } else {
            let begun = self.begun_now("password", None);
            let from = (&ask.origin, ask.replaces.as_ref());
            SignedIn::Session(Box::new(self.begin_in(&mut tx, &account, begun, from).await?))
        };
        tx.commit().await?;
        Ok(Some(done))
    }
}

/// Locks an account whose password was checked, if it is still enabled and the password still the same.
pub(super) async fn lock_unchanged(conn: &mut PgConnection, checked: &Account) -> Result<Option<Account>, Unavailable> {
    let phc = |account: &Account| account.password_phc.as_ref().map(|phc| phc.expose_secret().to_owned());
    let locked = accounts::lock_account(conn, checked.id).await?;
    Ok(locked.filter(|account| account.disabled_at.is_none() && phc(account) == phc(checked)))
}

fn bucket_of(address: IpAddr) -> String {
    format!("sign-in {}", network_of(address))
}

/// What shares one limit: an address itself for IPv4, its /64 for IPv6, where whoever has one address has all of them.
pub(super) fn network_of(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("{v4}/32"),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_network_of_version_6_shares_a_bucket() {
        // S-13
        let of = |text: &str| bucket_of(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
