//! Whether somebody is who they say: a code or a passkey is looked at, and used up in the transaction that acts on it. What
//! is not right is counted, recorded and told (S-15, S-16, S-17).

use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::inform::News;
use super::relying::{Answer, BadAnswer, Judged};
use super::{Asked, MOST_FAILURES, WAITS, recovery, stored, stored_passkeys, totp, wait};
use crate::accounts::ceremonies::{Holder, Purpose};
use crate::accounts::strangers::Deed;
use crate::accounts::{Accounts, By, Origin, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{AccountId, CeremonyId};
use crate::domain::people::Factor;
use crate::store::factors::CodeTry;
use crate::store::factors::passkeys::Passkey;

/// What somebody shows.
#[derive(Debug)]
pub enum Proof {
    /// Six digits of an app, or a recovery code.
    Code(SecretString),
    /// A browser's answer to a question that was asked before.
    Passkey { ceremony: CeremonyId, answer: String },
}

/// Why it proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// Not right; the text says so to who showed it.
    #[error("{0}")]
    Wrong(&'static str),
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    /// What was begun is too old, was ended elsewhere, or has had its tries.
    #[error("This took too long, or was tried too often. Begin again.")]
    Over,
    #[error("Many people are signing in at this moment.")]
    Busy { retry_after: Duration },
    #[error("You are no longer signed in.")]
    SignedOut,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for ProofError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

pub(super) const WRONG_PASSKEY: &str = "That passkey was not accepted.";
const WRONG_CODE: &str = "That code is not right.";
const USED_CODE: &str = "That code was used already. Wait until the app shows the next one.";
const OFF: &str = "There were too many wrong codes. Use a recovery code or a passkey, or ask an admin of this portal.";

/// A proof that was right when it was looked at, to be used up.
#[derive(Debug)]
pub(super) enum Checked {
    Totp { step: i64 },
    Recovery { hash: [u8; 32] },
    Passkey { passkey: Box<Passkey>, judged: Box<Judged> },
}

impl Checked {
    pub(super) fn factor(&self) -> Factor {
        match self {
            Self::Totp { .. } => Factor::Totp,
            Self::Recovery { .. } => Factor::Recovery,
            Self::Passkey { .. } => Factor::Passkey,
        }
    }
}

/// A proof that was not right.
#[derive(Debug)]
pub(super) struct Refused {
    pub factor: Factor,
    /// For the record.
    pub why: &'static str,
    /// For who showed it.
    pub text: &'static str,
}

/// Who shows something, and for what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Showing<'a> {
    pub account: AccountId,
    /// What a passkey's challenge was asked for.
    pub about: (Purpose, Holder),
    pub by: &'a By,
    pub origin: &'a Origin,
    /// For the record: what it is to open.
    pub at: &'static str,
}

/// A passkey's challenge, between question and answer. Sealed.
#[derive(Serialize, Deserialize)]
pub(super) struct Challenge {
    pub challenge: [u8; 32],
}

impl Accounts {
    /// Asks for a passkey of this account; without one, for any. None: the account has no passkey, or the portal's address
    /// has no host name.
    pub(super) async fn ask_passkey(
        &self,
        conn: &mut PgConnection,
        about: (Purpose, Holder),
        account: Option<AccountId>,
    ) -> Result<Option<Asked>, Unavailable> {
        let Some(relying) = &self.0.relying else { return Ok(None) };
        let known = match account {
            Some(account) => usable(stored_passkeys::list_passkeys(conn, account).await?),
            None => Vec::new(),
        };
        if account.is_some() && known.is_empty() {
            return Ok(None);
        }
        let challenge = self.0.random.bytes::<32>();
        let options = relying.ask_to_prove(&challenge, known.iter().map(|passkey| &passkey.credential));
        let ceremony = self.begin_ceremony(conn, about, account, &Challenge { challenge }).await?;
        Ok(Some(Asked { ceremony, options }))
    }

    /// Looks at what somebody shows. What is not right is recorded before this returns.
    pub(super) async fn check_proof(&self, showing: Showing<'_>, proof: &Proof) -> Result<Checked, ProofError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let looked = match proof {
            Proof::Code(code) if totp::is_code(code.expose_secret()) => {
                self.check_code(&mut conn, showing, code.expose_secret()).await?
            }
            Proof::Code(code) => self.check_recovery(&mut conn, showing.account, code.expose_secret()).await?,
            Proof::Passkey { ceremony, answer } => {
                let begun = self.take_ceremony::<Challenge>(&mut conn, *ceremony, showing.about).await?;
                let begun = begun.filter(|it| it.account.is_none_or(|account| account == showing.account));
                let begun = begun.ok_or(ProofError::Over)?;
                let asked = (&begun.state.challenge, begun.begun_at);
                self.check_passkey(&mut conn, (showing.account, answer), asked).await?
            }
        };
        match looked {
            Ok(checked) => Ok(checked),
            Err(refused) => {
                self.tell_refused(&mut conn, showing, &refused).await?;
                Err(ProofError::Wrong(refused.text))
            }
        }
    }

    async fn check_code(
        &self,
        conn: &mut PgConnection,
        showing: Showing<'_>,
        code: &str,
    ) -> Result<Result<Checked, Refused>, ProofError> {
        let now = self.0.clock.now();
        let refused = |why, text| Ok(Err(Refused { factor: Factor::Totp, why, text }));
        let tried = stored::begin_code_try(conn, showing.account, &WAITS, now).await?;
        let (failures, sealed, last_step) = match tried {
            CodeTry::Heard { failures, sealed, last_step } => (failures, sealed, last_step),
            CodeTry::None => return refused("there is no app", WRONG_CODE),
            CodeTry::Waits { until } => {
                self.tell_throttled(conn, showing.account, showing.origin, until).await?;
                return Err(ProofError::TooMany { retry_after: wait(until, now) });
            }
        };
        if failures > MOST_FAILURES {
            return refused("off after 100 wrong codes", OFF);
        }
        let secret = self.open_totp(showing.account, &sealed)?;
        match totp::step_of(&secret, code, now.as_second()) {
            None => refused("wrong code", WRONG_CODE),
            Some(step) if step <= last_step => refused("code used before", USED_CODE),
            Some(step) => Ok(Ok(Checked::Totp { step })),
        }
    }

    async fn check_recovery(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        code: &str,
    ) -> Result<Result<Checked, Refused>, ProofError> {
        let hash = recovery::hash_of(code);
        let known = match hash {
            Some(hash) => stored::is_unused_code(conn, account, &hash).await?,
            None => false,
        };
        Ok(match hash.filter(|_| known) {
            Some(hash) => Ok(Checked::Recovery { hash }),
            None => Err(Refused { factor: Factor::Recovery, why: "wrong or used code", text: WRONG_CODE }),
        })
    }

    /// Judges a browser's answer by the passkeys of this account.
    pub(super) async fn check_passkey(
        &self,
        conn: &mut PgConnection,
        (account, answer): (AccountId, &str),
        (challenge, asked_at): (&[u8; 32], Timestamp),
    ) -> Result<Result<Checked, Refused>, ProofError> {
        let refused = |why, text| Ok(Err(Refused { factor: Factor::Passkey, why, text }));
        let Some(relying) = &self.0.relying else { return refused("the portal has no host name", WRONG_PASSKEY) };
        let answer = match Answer::parse(answer) {
            Ok(answer) => answer,
            Err(bad) => return refused(bad.why(), WRONG_PASSKEY),
        };
        let found = stored_passkeys::find_by_credential(conn, answer.credential_id()).await?;
        let Some(passkey) = found.filter(|passkey| passkey.account == account) else {
            return refused("it is no passkey of theirs", WRONG_PASSKEY);
        };
        if answer.account().is_some_and(|named| named != account) {
            return refused("it was made for another account", WRONG_PASSKEY);
        }
        if passkey.suspect_at.is_some() {
            return refused("there may be a copy of it", SUSPECT);
        }
        match relying.judge(&answer, &passkey.credential, challenge) {
            Ok(judged) => Ok(Ok(Checked::Passkey { passkey: Box::new(passkey), judged: Box::new(judged) })),
            Err(bad) => {
                // Of two tabs the one that was asked first may answer last: no copy, and no answer to be taken either.
                let is_overtaken = passkey.last_used_at.is_some_and(|used| asked_at < used);
                if bad == BadAnswer::CounterWentBack && !is_overtaken {
                    self.suspect(conn, &passkey).await?;
                    return refused(bad.why(), SUSPECT);
                }
                refused(bad.why(), WRONG_PASSKEY)
            }
        }
    }

    /// Never takes a passkey again whose counter went back, and tells its person.
    async fn suspect(&self, conn: &mut PgConnection, passkey: &Passkey) -> Result<(), Unavailable> {
        let mut tx = conn.begin().await?;
        if stored_passkeys::mark_suspect(&mut tx, passkey.id, self.0.clock.now()).await? {
            tracing::warn!(account = %passkey.account, passkey = %passkey.id, "a passkey's counter went back");
            self.inform(&mut tx, passkey.account, News::PasskeySuspect { name: &passkey.name }).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Uses a proof up within the caller's transaction. False: it was used elsewhere meanwhile.
    pub(super) async fn use_up(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        checked: &Checked,
    ) -> Result<bool, Unavailable> {
        let now = self.0.clock.now();
        match checked {
            Checked::Totp { step } => return self.use_step(conn, account, *step).await,
            Checked::Recovery { hash } => {
                if !stored::use_code(conn, account, hash, now).await? {
                    return Ok(false);
                }
                let left = stored::load_kinds(conn, account).await?.recovery;
                self.inform(conn, account, News::CodeUsed { left }).await?;
            }
            Checked::Passkey { passkey, judged } => {
                let change = (&passkey.credential, &judged.credential);
                if !stored_passkeys::mark_used(conn, passkey.id, change, now).await? {
                    return Ok(false);
                }
            }
        }
        stored::clear_code_tries(conn, account).await?;
        Ok(true)
    }

    /// Records that something shown was not right. It shares the places of failed sign-ins, whoever showed it.
    pub(super) async fn tell_refused(
        &self,
        conn: &mut PgConnection,
        showing: Showing<'_>,
        refused: &Refused,
    ) -> Result<(), Unavailable> {
        let Showing { account, by, origin, at, .. } = showing;
        let factor = refused.factor.name();
        tracing::warn!(%account, address = %origin.address, factor, why = refused.why, at, "a second factor was refused");
        let fields = json!({
            "person": account, "factor": factor, "why": refused.why, "at": at,
            "address": origin.address, "user_agent": origin.agent(),
        });
        self.tell_deed(conn, Deed::SignInFailed, (Kind::FactorRefused, by), Some(fields)).await
    }
}

const SUSPECT: &str = "That passkey was not accepted: it may have been copied. It is not taken any more. Use another one, an \
                       app or a recovery code, and remove it from your account.";

pub(super) fn usable(passkeys: Vec<Passkey>) -> Vec<Passkey> {
    passkeys.into_iter().filter(|passkey| passkey.suspect_at.is_none()).collect()
}

/// What a record says about the passkey that was used.
pub(super) fn passkey_told(checked: &Checked) -> Option<Value> {
    match checked {
        Checked::Passkey { passkey, .. } => Some(json!({ "id": passkey.id, "name": passkey.name })),
        _ => None,
    }
}
