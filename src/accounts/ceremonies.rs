//! Ceremonies: what a person begins in one request and ends in another. Each is bound to the browser or the session that
//! began it and to its purpose, serves for minutes, and is sealed (S-17). A challenge is looked at once; what a person
//! types may be wrong a few times.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::records::StillToTell;
use super::strangers::Deed;
use super::{Accounts, By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{AccountId, CeremonyId, SessionId, sha256};
use crate::sealing;
use crate::store::ceremonies::{self as stored, NewCeremony};

/// How many of a kind one holder may have begun: one a tab.
const AT_ONCE: i64 = 8;
/// How many wrong codes one sign-in may have.
const MOST_TRIES: i32 = 5;
/// How many are swept in one step.
const OVER: i64 = 50;

/// Who began something, and alone can end it: a browser before sign-in, a session after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder([u8; 32]);

impl Holder {
    /// A browser in which nobody is signed in, by the secret of its form cookie.
    #[must_use]
    pub fn browser(secret: &[u8]) -> Self {
        Self(sha256(&[b"browser ", secret].concat()))
    }

    #[must_use]
    pub fn session(session: SessionId) -> Self {
        Self(sha256(&[&b"session "[..], session.0.as_bytes()].concat()))
    }
}

/// What a ceremony is for. One begun for the one is nothing for the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The password was right; a second factor is missing.
    SecondFactor,
    /// A passkey's challenge, in place of a password.
    SignIn,
    /// A passkey's challenge, after the password.
    SecondPasskey,
    StepUp,
    AddPasskey,
    /// A passkey in place of a password, made by who was invited.
    InvitedPasskey,
    AddTotp,
    /// A passkey's challenge that is the decision itself.
    Decide,
    /// A trip to an identity provider.
    Provider,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::SecondFactor => "second_factor",
            Self::SignIn => "sign_in",
            Self::SecondPasskey => "second_passkey",
            Self::StepUp => "step_up",
            Self::AddPasskey => "add_passkey",
            Self::InvitedPasskey => "invited_passkey",
            Self::AddTotp => "add_totp",
            Self::Decide => "decide",
            Self::Provider => "provider",
        }
    }

    /// How long what is begun can be ended.
    fn serves(self) -> SignedDuration {
        match self {
            // S-19: somebody may have to find their telephone.
            Self::Provider => SignedDuration::from_mins(10),
            _ => SignedDuration::from_mins(5),
        }
    }
}

/// A ceremony under way.
#[derive(Debug)]
pub(super) struct UnderWay<S> {
    pub id: CeremonyId,
    pub account: Option<AccountId>,
    pub begun_at: Timestamp,
    pub state: S,
}

impl Accounts {
    /// Begins a ceremony.
    pub(super) async fn begin_ceremony<S: Serialize>(
        &self,
        conn: &mut PgConnection,
        (purpose, holder): (Purpose, Holder),
        account: Option<AccountId>,
        state: &S,
    ) -> Result<CeremonyId, Unavailable> {
        let now = self.0.clock.now();
        let id = CeremonyId(self.0.random.uuid_v4());
        let plain = zeroize::Zeroizing::new(serde_json::to_vec(state).map_err(sealed_badly)?);
        let sealed = self.0.sealer.seal(sealing::Purpose::Ceremony, &id.to_string(), &plain);
        let new = NewCeremony {
            id,
            purpose: purpose.name(),
            holder_hash: &holder.0,
            account,
            state: &sealed,
            now,
            expires_at: now.checked_add(purpose.serves()).unwrap_or(Timestamp::MAX),
        };
        // Of what a person is in the middle of, there is one.
        let others = if matches!(purpose, Purpose::SecondFactor | Purpose::AddTotp) { 0 } else { AT_ONCE - 1 };
        stored::insert_ceremony(conn, &new, others).await?;
        Ok(id)
    }

    /// Takes a challenge away and gives its state, if it is this holder's, for this purpose, and not too old. Whatever
    /// comes of it, it cannot be asked for again.
    pub(super) async fn take_ceremony<S: DeserializeOwned>(
        &self,
        conn: &mut PgConnection,
        id: CeremonyId,
        (purpose, holder): (Purpose, Holder),
    ) -> Result<Option<UnderWay<S>>, Unavailable> {
        let found = stored::take_ceremony(conn, id, &holder.0).await?;
        let now = self.0.clock.now();
        Ok(found.filter(|it| it.purpose == purpose.name() && it.expires_at > now).and_then(|it| self.unseal(&it)))
    }

    /// What this holder is in the middle of.
    pub(super) async fn find_ceremony<S: DeserializeOwned>(
        &self,
        conn: &mut PgConnection,
        (purpose, holder): (Purpose, Holder),
    ) -> Result<Option<UnderWay<S>>, Unavailable> {
        let found = stored::find_ceremony(conn, &holder.0, purpose.name(), self.0.clock.now()).await?;
        Ok(found.and_then(|it| self.unseal(&it)))
    }

    /// Counts a try before it is heard. False: there were too many, and the ceremony is over.
    pub(super) async fn begin_ceremony_try(
        &self,
        conn: &mut PgConnection,
        id: CeremonyId,
    ) -> Result<bool, Unavailable> {
        let heard = stored::begin_try(conn, id, MOST_TRIES).await?;
        if !heard {
            stored::delete_ceremony(conn, id).await?;
        }
        Ok(heard)
    }

    fn unseal<S: DeserializeOwned>(&self, found: &stored::Ceremony) -> Option<UnderWay<S>> {
        let owner = found.id.to_string();
        let plain = self.0.sealer.open_sealed(sealing::Purpose::Ceremony, &owner, &found.state);
        let state = plain.ok().and_then(|plain| serde_json::from_slice(&plain).ok());
        if state.is_none() {
            tracing::warn!(
                ceremony = owner,
                "a ceremony cannot be read: it was begun by another release or with another key"
            );
        }
        Some(UnderWay { id: found.id, account: found.account, begun_at: found.created_at, state: state? })
    }

    /// Sweeps out what nobody can end any more. A sign-in that stopped after the right password is told: somebody may know
    /// a password who has nothing else (S-16). Call it every few minutes.
    ///
    /// # Errors
    /// What was not swept is swept by the next call.
    pub async fn sweep_ceremonies(&self) -> Result<(), Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        loop {
            let mut tx = conn.begin().await?;
            let over = stored::delete_over(&mut tx, self.0.clock.now(), OVER).await?;
            let mut told = StillToTell::new();
            for ceremony in over.iter().filter(|it| it.purpose == Purpose::SecondFactor.name()) {
                if self.take_place(&mut tx, Deed::SignInFailed, true).await? {
                    let fields = json!({ "person": ceremony.account, "why": "the second factor was not given" });
                    told.push((Kind::SignInFailed, fields));
                }
            }
            self.record_all(&mut tx, &By::Stranger, told).await?;
            tx.commit().await?;
            if i64::try_from(over.len()).unwrap_or(OVER) < OVER {
                return Ok(());
            }
        }
    }
}

fn sealed_badly(error: serde_json::Error) -> Unavailable {
    Unavailable(Box::new(error))
}
