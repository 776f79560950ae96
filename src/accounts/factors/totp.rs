//! Codes of an authenticator app (RFC 6238): six digits, thirty seconds, one step of tolerance either way. The secret has
//! 160 bits and is kept sealed. A step counts once, and it is confirmed by a first code that the app has it (S-15).

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use super::inform::News;
use super::{Added, FactorError, holder, stored};
use crate::accounts::ceremonies::Purpose;
use crate::accounts::{Accounts, Origin, Unavailable};
use crate::domain::ids::AccountId;
use crate::domain::people::{Factor, Person};
use crate::sealing;

const BYTES: usize = 20;

/// What an app is told, until it has shown that it was. Sealed.
#[derive(Serialize, Deserialize)]
struct State {
    secret: [u8; BYTES],
}

/// What a person sees while they set an app up.
#[derive(Debug)]
pub struct Enrolment {
    /// For the QR code.
    pub url: SecretString,
    /// For typing: letters and digits, in groups of four.
    pub text: SecretString,
}

/// The step whose code this is, at `time`. Looks at the one before and the one after too.
pub(super) fn step_of(secret: &[u8], code: &str, time: i64) -> Option<i64> {
    let digits: Zeroizing<String> = Zeroizing::new(code.chars().filter(|c| !c.is_whitespace()).collect());
    let step = of(secret)?.check(&digits, u64::try_from(time).ok()?)?;
    i64::try_from(step).ok()
}

/// Whether this could be a code of an app at all.
pub(super) fn is_code(typed: &str) -> bool {
    let mut digits = typed.chars().filter(|c| !c.is_whitespace());
    digits.by_ref().take(6).filter(char::is_ascii_digit).count() == 6 && digits.next().is_none()
}

fn of(secret: &[u8]) -> Option<Totp> {
    Builder::new().with_secret(Secret::new_stack(secret.try_into().ok()?)).build().ok()
}

impl Accounts {
    /// Begins to set an app up, with a new secret.
    ///
    /// # Errors
    /// [`FactorError`].
    pub async fn begin_totp(&self, person: &Person) -> Result<(), FactorError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let kinds = stored::load_kinds(&mut conn, person.account).await?;
        self.refuse_unproven(person, kinds)?;
        let state = State { secret: self.0.random.bytes() };
        let about = (Purpose::AddTotp, holder(person));
        self.begin_ceremony(&mut conn, about, Some(person.account), &state).await?;
        Ok(())
    }

    /// What the app must be told. None: nobody is setting one up, or it was begun too long ago.
    pub async fn find_enrolment(&self, person: &Person) -> Result<Option<Enrolment>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let under_way = self.find_ceremony::<State>(&mut conn, (Purpose::AddTotp, holder(person))).await?;
        Ok(under_way.and_then(|it| self.enrolment(&it.state.secret, &person.email)))
    }

    fn enrolment(&self, secret: &[u8; BYTES], email: &str) -> Option<Enrolment> {
        // A colon parts the two in the address.
        let plain = |text: &str| text.replace(':', " ");
        let totp = Builder::new()
            .with_secret(Secret::new_stack(*secret))
            .with_account_name(plain(email))
            .with_issuer(Some(format!("Countersign {}", plain(&self.0.settings.host)).trim().to_owned()))
            .build()
            .ok()?;
        let text = Zeroizing::new(totp.secret().to_base32());
        let groups: Vec<&str> = (0..text.len()).step_by(4).map(|at| &text[at..text.len().min(at + 4)]).collect();
        Some(Enrolment {
            url: SecretString::from(totp.to_url().ok()?),
            text: SecretString::from(groups.join(" ").to_lowercase()),
        })
    }

    /// Confirms by a first code that the app has the secret, and keeps it from then on, in place of any other.
    ///
    /// # Errors
    /// [`FactorError`].
    pub async fn confirm_totp(
        &self,
        person: &Person,
        code: &SecretString,
        origin: &Origin,
    ) -> Result<Added, FactorError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let under_way = self.find_ceremony::<State>(&mut conn, (Purpose::AddTotp, holder(person))).await?;
        let under_way = under_way.ok_or(FactorError::Over)?;
        if !self.begin_ceremony_try(&mut conn, under_way.id).await? {
            return Err(FactorError::Over);
        }
        let now = self.0.clock.now();
        let secret = &under_way.state.secret;
        let step = step_of(secret.as_slice(), code.expose_secret(), now.as_second()).ok_or(FactorError::Wrong(
            "That is not the code. Type the six digits that the app shows now; its phone's clock must be right.",
        ))?;
        let mut tx = conn.begin().await?;
        let (account, kinds) = self.lock_for_change(&mut tx, person).await?;
        if !crate::store::ceremonies::delete_ceremony(&mut tx, under_way.id).await? {
            return Err(FactorError::Over);
        }
        let owner = person.account.to_string();
        let sealed = self.0.sealer.seal(sealing::Purpose::Totp, &owner, secret.as_slice());
        stored::put_totp(&mut tx, person.account, &sealed, step, now).await?;
        let added = self.welcome(&mut tx, (person, &account), (kinds, Factor::Totp)).await?;
        let fields = json!({
            "person": person.account, "factor": Factor::Totp.name(), "replaced": kinds.totp,
            "address": origin.address, "user_agent": origin.agent(),
        });
        let news = if kinds.totp { News::TotpReplaced } else { News::TotpAdded };
        self.tell_added(&mut tx, (person, &added), (origin, fields), news).await?;
        tx.commit().await?;
        Ok(added)
    }

    /// Takes the app away.
    ///
    /// # Errors
    /// [`FactorError`]. There being none is no error.
    pub async fn remove_totp(&self, person: &Person) -> Result<(), FactorError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, kinds) = self.lock_for_change(&mut tx, person).await?;
        if !kinds.totp {
            return Ok(());
        }
        self.refuse_last(&mut tx, &account, kinds.usable() - 1).await?;
        stored::delete_totp(&mut tx, person.account).await?;
        let fields = json!({ "person": person.account, "factor": Factor::Totp.name() });
        self.tell_removed(&mut tx, (person, kinds), fields, News::TotpRemoved).await?;
        tx.commit().await?;
        Ok(())
    }

    /// An app's secret, opened.
    pub(super) fn open_totp(&self, account: AccountId, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unavailable> {
        let opened = self.0.sealer.open_sealed(sealing::Purpose::Totp, &account.to_string(), sealed);
        opened.map_err(|error| Unavailable(Box::new(error)))
    }

    /// Uses a step up within the caller's transaction.
    pub(super) async fn use_step(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        step: i64,
    ) -> Result<bool, Unavailable> {
        Ok(stored::use_step(conn, account, step, self.0.clock.now()).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_that_of_rfc_6238_one_step_early_or_late() {
        // RFC 6238, appendix B: the secret "12345678901234567890" at 59 s has 94287082, of which apps show six digits.
        let secret = b"12345678901234567890";
        assert_eq!(step_of(secret, "287082", 59), Some(1));
        assert_eq!(step_of(secret, " 287 082 ", 60), Some(1));
        assert_eq!(step_of(secret, "287082", 0), Some(1));
        assert_eq!(step_of(secret, "287082", 120), None);
        assert_eq!(step_of(secret, "287083", 59), None);
    }

    #[test]
    fn six_digits_are_a_code_and_nothing_else_is() {
        assert!(is_code("123456") && is_code(" 123 456 "));
        assert!(!is_code("12345") && !is_code("1234567") && !is_code("12345a") && !is_code(""));
    }
}
