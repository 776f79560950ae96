//! Browsers in which somebody signed in before (S-12). Each has a count of failures of its own for that account, so that
//! strangers who try passwords from elsewhere do not lock the person out; the count is bounded by the same waits and the
//! same hundred. Whoever brings no secret of such a browser learns nothing of it, and waits as ever.
//!
//! A browser keeps one secret for each of the accounts used in it, the newest first. Each is replaced when its account
//! signs in there again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use sqlx::PgConnection;
use zeroize::Zeroizing;

use super::identity::EmailKey;
use super::sessions::hash_of;
use super::sign_in::WAITS;
use super::{Accounts, Origin};
use crate::domain::ids::{AccountId, sha256};
use crate::store::devices;
use crate::store::throttle::Try;

/// How long a browser is known without being used.
pub const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(24 * 365);
/// How many accounts one browser is known for.
const MOST_IN_BROWSER: usize = 4;
/// How many browsers of one account are known: each is a hundred tries.
const MOST_OF_ACCOUNT: i64 = 20;

/// A browser that is known from now on.
pub(super) struct Remembered {
    /// What its cookie holds from now on.
    pub(super) cookie: SecretString,
    /// It was not known for this account before.
    pub(super) is_new: bool,
}

/// The secrets that a browser brought, with their hashes. What is none is left out.
fn brought(cookie: Option<&SecretString>) -> Vec<(Zeroizing<String>, Vec<u8>)> {
    let text = cookie.map(ExposeSecret::expose_secret).unwrap_or_default();
    let secret = |part: &str| Some((Zeroizing::new(part.to_owned()), hash_of(part)?.to_vec()));
    text.split('.').take(MOST_IN_BROWSER).filter_map(secret).collect()
}

fn hashes(brought: &[(Zeroizing<String>, Vec<u8>)]) -> Vec<Vec<u8>> {
    brought.iter().map(|(_, hash)| hash.clone()).collect()
}

impl Accounts {
    /// Counts a try in this browser. None: it is not known for this e-mail, and the try is to be counted as a stranger's.
    pub(super) async fn begin_try_in_browser(
        &self,
        conn: &mut PgConnection,
        email: &EmailKey,
        origin: &Origin,
    ) -> Result<Option<Try>, sqlx::Error> {
        let brought = brought(origin.device.as_ref());
        if brought.is_empty() {
            return Ok(None);
        }
        devices::begin_try(conn, &hashes(&brought), email.as_str(), &WAITS, self.0.clock.now()).await
    }

    /// Forgets the failures in this browser, where somebody gave the right password without signing in anew.
    pub(super) async fn forgive_browser(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        origin: &Origin,
    ) -> Result<(), sqlx::Error> {
        devices::clear_tries(conn, account, &hashes(&brought(origin.device.as_ref()))).await
    }

    /// Knows this browser from now on, under a new secret and without failures.
    pub(super) async fn remember_browser(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        origin: &Origin,
    ) -> Result<Remembered, sqlx::Error> {
        let now = self.0.clock.now();
        let brought = brought(origin.device.as_ref());
        let known = devices::delete_known(conn, account, &hashes(&brought), now).await?;
        let since = known.iter().filter_map(|(_, since)| *since).min();
        let secret: Zeroizing<[u8; 32]> = Zeroizing::new(self.0.random.bytes());
        let until = now.checked_add(KNOWN_FOR).unwrap_or(Timestamp::MAX);
        devices::insert_device(conn, account, &sha256(secret.as_slice()), (since.unwrap_or(now), now, until)).await?;
        devices::delete_beyond(conn, account, MOST_OF_ACCOUNT).await?;
        let fresh = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
        let is_other = |hash: &Vec<u8>| known.iter().all(|(gone, _)| gone != hash);
        let others = brought.iter().filter(|(_, hash)| is_other(hash)).map(|(secret, _)| secret.as_str());
        let all: Vec<&str> = std::iter::once(fresh.as_str()).chain(others).take(MOST_IN_BROWSER).collect();
        Ok(Remembered { cookie: SecretString::from(all.join(".")), is_new: since.is_none() })
    }

    /// Forgets every browser of an account but the one that was just remembered.
    pub(super) async fn forget_other_browsers(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        remembered: &SecretString,
    ) -> Result<(), sqlx::Error> {
        let newest = remembered.expose_secret().split('.').next().and_then(hash_of);
        devices::delete_devices(conn, account, newest.as_ref()).await
    }

    /// Forgets every browser of an account.
    pub(super) async fn forget_browsers(&self, conn: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
        devices::delete_devices(conn, account, None).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_of_somebodys_own_making_brings_little() {
        let secret = URL_SAFE_NO_PAD.encode([7; 32]);
        let count = |text: String| brought(Some(&SecretString::from(text))).len();
        assert_eq!(count(format!("{secret}.{secret}")), 2);
        assert_eq!(count(format!("{secret}.short..\u{e9}")), 1);
        assert_eq!(count(vec![secret; 1000].join(".")), MOST_IN_BROWSER);
        assert_eq!(brought(None).len(), 0);
    }
}
