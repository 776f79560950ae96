//! The two secrets of a mail that asks for a decision: the one in its link, and the six digits in its text. Made here, and
//! turned here into what is kept of them; nobody else sees both.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::ids::sha256;
use crate::random::Random;

/// How many digits a code has.
const DIGITS: usize = 6;

/// The secret in a link: 256 random bits.
#[derive(Clone)]
pub struct LinkSecret(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for LinkSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkSecret([redacted])")
    }
}

impl LinkSecret {
    #[must_use]
    pub fn new(random: &Random) -> Self {
        Self(Zeroizing::new(random.bytes()))
    }

    /// What stands in an address or a cookie. What cannot be one of ours is read as one that nobody has, so that looking it
    /// up takes the same work (L-08).
    #[must_use]
    pub fn read(text: &str) -> Self {
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).unwrap_or_default());
        Self(Zeroizing::new(bytes.as_slice().try_into().unwrap_or_default()))
    }

    /// As it stands in the address.
    #[must_use]
    pub fn text(&self) -> SecretString {
        SecretString::from(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// What it is kept under.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_slice())
    }

    /// What a code that goes with this link is kept as. Keyed with the link's secret, which is not kept: whoever has the
    /// database alone cannot try a million codes.
    #[must_use]
    pub fn hash_code(&self, code: &MailCode) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let tag = hmac::sign(&key, code.0.expose_secret().as_bytes());
        tag.as_ref().try_into().expect("HMAC-SHA-256 has 32 bytes")
    }
}

/// The six digits in a mail's text (L-02).
#[derive(Debug, Clone)]
pub struct MailCode(SecretString);

impl MailCode {
    #[must_use]
    pub fn new(random: &Random) -> Self {
        // Of 2^64 numbers the last digits are as good as equally likely.
        let number = u64::from_be_bytes(random.bytes()) % 1_000_000;
        Self(SecretString::from(format!("{number:06}")))
    }

    /// What somebody typed: six digits, with spaces and dashes between them or not. None: it is no code at all, which costs
    /// no try (F-38).
    #[must_use]
    pub fn read(typed: &str) -> Option<Self> {
        let digits: Zeroizing<String> = Zeroizing::new(typed.chars().filter(|c| !matches!(c, ' ' | '-')).collect());
        let is_code = digits.len() == DIGITS && digits.bytes().all(|b| b.is_ascii_digit());
        is_code.then(|| Self(SecretString::from(digits.as_str())))
    }

    /// As it stands in the mail: `123 456`.
    #[must_use]
    pub fn printed(&self) -> String {
        let (first, rest) = self.0.expose_secret().split_at(DIGITS / 2);
        format!("{first} {rest}")
    }
}

/// What somebody shows to decide by mail: a link, and the code they typed. Only as hashes; whether they are right is found
/// out in the transaction that decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShownByMail {
    pub secret_hash: [u8; 32],
    pub code_hash: [u8; 32],
}

impl ShownByMail {
    #[must_use]
    pub fn of(secret: &LinkSecret, code: &MailCode) -> Self {
        Self { secret_hash: secret.hash(), code_hash: secret.hash_code(code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_reads_back_and_anything_else_is_nobodys() {
        // L-03, L-08
        let random = Random::system();
        let secret = LinkSecret::new(&random);
        let text = secret.text();
        assert_eq!(text.expose_secret().len(), 43);
        assert_eq!(LinkSecret::read(text.expose_secret()).hash(), secret.hash());
        for odd in ["", "AAAA", "not base64!", &"A".repeat(500)] {
            assert_eq!(LinkSecret::read(odd).hash(), sha256(&[0; 32]), "{odd}");
        }
        assert!(!format!("{secret:?}").contains(text.expose_secret()));
    }

    #[test]
    fn a_code_is_read_however_its_digits_are_set() {
        // L-02
        let of = |typed| MailCode::read(typed).map(|code| code.printed());
        for typed in ["123456", "123 456", " 123-456 ", "1 2 3 4 5 6"] {
            assert_eq!(of(typed).as_deref(), Some("123 456"), "{typed}");
        }
        for odd in ["", "12345", "1234567", "abcdef", "123 45x", "１２３４５６", "approved", "on"] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_code_is_kept_as_something_that_needs_the_link_to_be_guessed() {
        // L-03
        let random = Random::system();
        let (one, other) = (LinkSecret::new(&random), LinkSecret::new(&random));
        let code = MailCode::read("000000").unwrap();
        assert_ne!(one.hash_code(&code), other.hash_code(&code));
        assert_ne!(one.hash_code(&code), sha256(b"000000"));
        assert_eq!(one.hash_code(&code), one.hash_code(&MailCode::read("000-000").unwrap()));
    }
}
