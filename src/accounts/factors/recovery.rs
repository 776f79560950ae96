//! Recovery codes: ten, shown once, each good once, for somebody who has lost their phone or key. Eighty bits each, so that
//! SHA-256 is enough to keep them by.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::inform::News;
use super::{FactorError, stored};
use crate::accounts::{Accounts, By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{AccountId, sha256};
use crate::domain::people::Person;

const CODES: usize = 10;
/// With so many left, or fewer, it is time for new ones.
pub const FEW: usize = 3;
/// Without letters that look like digits (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 16;

/// What a code is kept as, however it is typed. None: it is no recovery code at all.
pub(super) fn hash_of(typed: &str) -> Option<[u8; 32]> {
    let plain: zeroize::Zeroizing<String> = zeroize::Zeroizing::new(
        typed
            .chars()
            .filter(|c| !c.is_whitespace() && *c != '-')
            .map(|c| match c.to_ascii_lowercase() {
                'o' => '0',
                'i' | 'l' => '1',
                c => c,
            })
            .collect(),
    );
    let is_code = plain.len() == LENGTH && plain.bytes().all(|byte| LETTERS.contains(&byte));
    is_code.then(|| sha256(plain.as_bytes()))
}

impl Accounts {
    /// New codes in place of all before them. Shown once.
    ///
    /// # Errors
    /// [`FactorError`].
    pub async fn renew_codes(&self, person: &Person) -> Result<Vec<SecretString>, FactorError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (_, kinds) = self.lock_for_change(&mut tx, person).await?;
        if !kinds.any() {
            return Err(FactorError::Wrong("Recovery codes stand for a second factor. Add one first."));
        }
        let codes = self.make_codes(&mut tx, person.account).await?;
        self.inform(&mut tx, person.account, News::CodesMade).await?;
        let fields = json!({ "person": person.account, "codes": codes.len(), "replaced": kinds.recovery });
        self.record(&mut tx, Kind::RecoveryCodesMade, &By::person(person), fields).await?;
        tx.commit().await?;
        Ok(codes)
    }

    pub(super) async fn make_codes(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
    ) -> Result<Vec<SecretString>, Unavailable> {
        let codes: Vec<SecretString> = (0..CODES).map(|_| self.make_code()).collect();
        let hash = |code: &SecretString| hash_of(code.expose_secret()).expect("what is made is a code").to_vec();
        let hashes: Vec<Vec<u8>> = codes.iter().map(hash).collect();
        stored::replace_codes(conn, account, &hashes, self.0.clock.now()).await?;
        Ok(codes)
    }

    fn make_code(&self) -> SecretString {
        let letters = self.0.random.bytes::<LENGTH>().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
        let groups: Vec<String> = letters.chunks(4).map(|group| group.iter().collect()).collect();
        SecretString::from(groups.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        let code = hash_of("0123-4567-89ab-cdef").unwrap();
        for typed in [" 0123 4567 89AB CDEF ", "o123456789abcdef", "0l23-4567-89ab-cdef"] {
            assert_eq!(hash_of(typed), Some(code), "{typed}");
        }
        for none in ["", "123456", "0123-4567-89ab-cde", "0123-4567-89ab-cdeu", "0123-4567-89ab-cdefg"] {
            assert_eq!(hash_of(none), None, "{none}");
        }
    }
}
