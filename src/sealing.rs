//! Secrets that must be read again, sealed, each for what it is for (ASVS 13.3.1). Owns sealing and opening; where the key
//! is kept is the caller's to say. It must never print a key or a secret.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::random::Random;

/// The first byte of everything sealed: how it was.
const VERSION: u8 = 1;

/// What a secret is for. It is sealed into the secret: one cannot be passed off as the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Check,
    Totp,
    Ceremony,
    Mail,
    /// Where a channel leads, and what its webhook is signed with.
    Channel,
    /// What browsers are told, where, and what the portal proves itself with there.
    Push,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Totp => "totp",
            Self::Ceremony => "ceremony",
            Self::Mail => "mail",
            Self::Channel => "channel",
            Self::Push => "push",
        }
    }
}

/// What was sealed cannot be opened: with another key, for something else, or it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed secret cannot be opened with this portal's secret key")]
pub struct Unopenable;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum NoKey {
    #[error("the secret key {} cannot be read: {cause}", .path.display())]
    File { path: PathBuf, cause: std::io::Error },
    #[error(
        "the secret key {} must hold 32 bytes in base64, on one line; `openssl rand -base64 32` makes one", .path.display()
    )]
    Shape { path: PathBuf },
}

/// Seals and opens with AES-256-GCM. Cheap to clone; does not print its key.
#[derive(Clone)]
pub struct Sealer {
    /// The first one seals; all open, so that a key can be replaced without losing what the old one sealed (S-49).
    keys: Vec<Arc<LessSafeKey>>,
    random: Random,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

impl Sealer {
    /// With the key in this file, or the keys: one a line, the one to seal with first.
    ///
    /// # Errors
    /// [`NoKey`].
    pub fn open(file: &Path, random: Random) -> Result<Self, NoKey> {
        let text = std::fs::read_to_string(file)
            .map_err(|cause| NoKey::File { path: file.to_owned(), cause })
            .map(Zeroizing::new)?;
        let keys: Option<Vec<_>> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(key).collect();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(Self { keys, random }),
            _ => Err(NoKey::Shape { path: file.to_owned() }),
        }
    }

    /// With these keys of 32 bytes, the one to seal with first. None: one is no key, or there is none.
    #[must_use]
    pub fn of_keys(keys: &[&[u8]], random: Random) -> Option<Self> {
        let keys: Option<Vec<_>> = keys.iter().map(|bytes| key_of(bytes)).collect();
        keys.filter(|keys| !keys.is_empty()).map(|keys| Self { keys, random })
    }

    /// Which also opens what this key sealed.
    #[must_use]
    pub fn also_opening(mut self, old: &[u8]) -> Self {
        self.keys.extend(key_of(old));
        self
    }

    /// Seals `secret` for `purpose` and `owner`.
    #[must_use]
    pub fn seal(&self, purpose: Purpose, owner: &str, secret: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = self.random.bytes();
        let mut sealed = Vec::with_capacity(1 + NONCE_LEN + secret.len() + 16);
        sealed.push(VERSION);
        sealed.extend_from_slice(&nonce);
        let mut body = secret.to_vec();
        self.keys[0]
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), bound(purpose, owner), &mut body)
            .expect("a short secret can be sealed");
        sealed.extend_from_slice(&body);
        sealed
    }

    /// Opens what was sealed for the same purpose and owner.
    ///
    /// # Errors
    /// [`Unopenable`].
    pub fn open_sealed(&self, purpose: Purpose, owner: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unopenable> {
        let Some((&VERSION, rest)) = sealed.split_first() else { return Err(Unopenable) };
        let (nonce, body) = rest.split_at_checked(NONCE_LEN).ok_or(Unopenable)?;
        for key in &self.keys {
            let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| Unopenable)?;
            let mut opened = Zeroizing::new(body.to_vec());
            if let Ok(secret) = key.open_in_place(nonce, bound(purpose, owner), &mut opened) {
                let length = secret.len();
                opened.truncate(length);
                return Ok(opened);
            }
        }
        Err(Unopenable)
    }
}

fn bound(purpose: Purpose, owner: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("countersign {} {owner}", purpose.name()).into_bytes())
}

fn key(line: &str) -> Option<Arc<LessSafeKey>> {
    let bytes = Zeroizing::new(STANDARD.decode(line).ok()?);
    key_of(&bytes)
}

fn key_of(bytes: &[u8]) -> Option<Arc<LessSafeKey>> {
    UnboundKey::new(&AES_256_GCM, bytes).ok().map(LessSafeKey::new).map(Arc::new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer() -> Sealer {
        let random = Random::system();
        Sealer::of_keys(&[&random.bytes::<32>()], random).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_for_the_same_purpose_and_owner_only() {
        let sealer = sealer();
        let sealed = sealer.seal(Purpose::Totp, "anna", b"secret");
        assert_eq!(*sealer.open_sealed(Purpose::Totp, "anna", &sealed).unwrap(), b"secret");
        assert!(sealer.open_sealed(Purpose::Totp, "ben", &sealed).is_err());
        assert!(sealer.open_sealed(Purpose::Mail, "anna", &sealed).is_err());
        assert!(self::sealer().open_sealed(Purpose::Totp, "anna", &sealed).is_err());
        assert!(!sealed.windows(6).any(|part| part == b"secret"));
    }

    #[test]
    fn what_was_changed_or_cut_does_not_open() {
        let sealer = sealer();
        let sealed = sealer.seal(Purpose::Mail, "1", b"secret");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(sealer.open_sealed(Purpose::Mail, "1", &changed).is_err(), "byte {at}");
            assert!(sealer.open_sealed(Purpose::Mail, "1", &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_new_key_above_the_old_one_opens_what_the_old_one_sealed() {
        // S-49
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret.key");
        let old = STANDARD.encode([1; 32]);
        std::fs::write(&file, &old).unwrap();
        let sealed = Sealer::open(&file, Random::system()).unwrap().seal(Purpose::Totp, "a", b"old");
        std::fs::write(&file, format!("{}\n{old}", STANDARD.encode([7; 32]))).unwrap();
        let both = Sealer::open(&file, Random::system()).unwrap();
        assert_eq!(*both.open_sealed(Purpose::Totp, "a", &sealed).unwrap(), b"old");
        let anew = both.seal(Purpose::Totp, "a", b"new");
        std::fs::write(&file, &old).unwrap();
        assert!(Sealer::open(&file, Random::system()).unwrap().open_sealed(Purpose::Totp, "a", &anew).is_err());
    }

    #[test]
    fn a_file_that_is_no_key_says_what_would_be() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret.key");
        for text in ["", "hunter2", "AAAA", "\n\n"] {
            std::fs::write(&file, text).unwrap();
            let said = Sealer::open(&file, Random::system()).unwrap_err().to_string();
            assert!(said.contains("32 bytes in base64"), "{said}");
        }
    }
}
