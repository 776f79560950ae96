//! The second step of signing in: the password was right, or a provider knows them, and the account has more. Until it is shown there is no session,
//! only a ceremony bound to the browser, with a few tries and a few minutes.

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, PgConnection};

use super::proving::Showing;
use super::{Asked, Kinds, Proof, ProofError, stored};
use crate::accounts::ceremonies::{Holder, Purpose, UnderWay};
use crate::accounts::{Accounts, By, NewSession, Origin, Unavailable};
use crate::domain::ids::AccountId;
use crate::domain::people::Factor;
use crate::store::accounts::{self, Account};
use crate::store::ceremonies::delete_ceremony;

/// A try at the second step.
#[derive(Debug)]
pub struct Second {
    pub holder: Holder,
    pub proof: Proof,
    pub origin: Origin,
    /// The session cookie that came with the request, if any: that session ends when this one begins (S-25).
    pub replaces: Option<SecretString>,
}

/// What the person can show.
#[derive(Debug, Clone, Copy)]
pub struct SecondView {
    pub passkey: bool,
    pub totp: bool,
    pub recovery: bool,
}

/// What is remembered in between. Sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    /// Whatever changes in the account meanwhile, its password or its being enabled, ends this.
    version: i64,
    /// What the first step was.
    method: String,
    return_to: String,
}

impl Accounts {
    /// Remembers that the first step was right.
    pub(in crate::accounts) async fn ask_second(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        method: &str,
        (holder, return_to): (Holder, &str),
    ) -> Result<(), Unavailable> {
        let (version, method) = (account.version, method.to_owned());
        let state = State { version, method, return_to: return_to.to_owned() };
        self.begin_ceremony(conn, (Purpose::SecondFactor, holder), Some(account.id), &state).await.map(|_| ())
    }

    async fn find_second(
        &self,
        conn: &mut PgConnection,
        holder: Holder,
    ) -> Result<Option<(AccountId, UnderWay<State>)>, Unavailable> {
        let found = self.find_ceremony::<State>(conn, (Purpose::SecondFactor, holder)).await?;
        Ok(found.and_then(|it| Some((it.account?, it))))
    }

    /// What this browser's person can show. None: nobody is in the middle of signing in.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn second_step(&self, holder: Holder) -> Result<Option<SecondView>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let Some((account, _)) = self.find_second(&mut conn, holder).await? else { return Ok(None) };
        let Kinds { usable_passkeys, totp, recovery, .. } = stored::load_kinds(&mut conn, account).await?;
        let passkey = usable_passkeys > 0 && self.takes_passkeys();
        Ok(Some(SecondView { passkey, totp, recovery: recovery > 0 }))
    }

    /// Asks for a passkey. None: nobody is in the middle of signing in, or they have none.
    ///
    /// # Errors
    /// The database did not answer.
    pub async fn ask_second_passkey(&self, holder: Holder) -> Result<Option<Asked>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let Some((account, _)) = self.find_second(&mut conn, holder).await? else { return Ok(None) };
        self.ask_passkey(&mut conn, (Purpose::SecondPasskey, holder), Some(account)).await
    }

    /// Looks at the second factor and begins the session. Also says where the person wanted to go.
    ///
    /// # Errors
    /// [`ProofError`].
    pub async fn finish_second(&self, second: Second) -> Result<(NewSession, String), ProofError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let found = self.find_second(&mut conn, second.holder).await?;
        let (account, under_way) = found.ok_or(ProofError::Over)?;
        if !self.begin_ceremony_try(&mut conn, under_way.id).await? {
            return Err(ProofError::Over);
        }
        drop(conn);
        let showing = Showing {
            account,
            about: (Purpose::SecondPasskey, second.holder),
            by: &By::Stranger,
            origin: &second.origin,
            at: "signing in",
        };
        let checked = self.check_proof(showing, &second.proof).await?;
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let locked = accounts::lock_account(&mut tx, account).await?;
        let unchanged = |it: &Account| it.disabled_at.is_none() && it.version == under_way.state.version;
        let account = locked.filter(unchanged).ok_or(ProofError::Over)?;
        // Of two requests at once, one ends it; the other's proof is not used up.
        if !delete_ceremony(&mut tx, under_way.id).await? || !self.use_up(&mut tx, account.id, &checked).await? {
            return Err(ProofError::Over);
        }
        let begun = self.begun_now(&under_way.state.method, Some(checked.factor()));
        let new = self.begin_in(&mut tx, &account, begun, (&second.origin, second.replaces.as_ref())).await?;
        tx.commit().await?;
        Ok((new, under_way.state.return_to))
    }

    /// Whether somebody who signed in like this used up a recovery code.
    #[must_use]
    pub fn used_recovery(session: &NewSession) -> bool {
        session.person.factor.as_deref() == Some(Factor::Recovery.name())
    }
}
