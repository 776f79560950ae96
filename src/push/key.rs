//! What the portal proves itself with to push services (RFC 8292): one pair of keys for all replicas, made when it is first
//! needed and kept sealed in the database (docs/decisions/0021).

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::encrypting::{private_key, public_of};
use crate::clock::Clock;
use crate::random::Random;
use crate::sealing::{Purpose, Sealer};
use crate::store::push::{self, KeptKey, browsers};

/// What it is sealed for.
const OWNER: &str = "push key";
/// How long a proof holds; a day at most (RFC 8292, 2).
const PROVES_FOR: SignedDuration = SignedDuration::from_hours(12);

/// The pair.
pub(super) struct ServerKey {
    pair: EcdsaKeyPair,
    pub(super) public: [u8; 65],
}

impl ServerKey {
    fn from_private(bytes: &[u8]) -> Option<Self> {
        let public = public_of(&PrivateKey::from_private_key(&ECDH_P256, bytes).ok()?)?;
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes, &public).ok()?;
        Some(Self { pair, public })
    }

    fn open(kept: &KeptKey, sealer: &Sealer) -> Option<Self> {
        let opened = sealer.open_sealed(Purpose::Push, OWNER, &kept.sealed).ok()?;
        Self::from_private(&opened).filter(|key| key.public.as_slice() == kept.public)
    }

    /// The kept pair; one is made where there is none, or none that can be opened any more. Then every browser is ended that
    /// knows us by the old one.
    ///
    /// # Errors
    /// Whatever the database says.
    pub(super) async fn load(
        conn: &mut PgConnection,
        (sealer, clock, random): (&Sealer, &Clock, &Random),
    ) -> sqlx::Result<Self> {
        let kept = push::find_key(conn).await?;
        if let Some(key) = kept.as_ref().and_then(|kept| Self::open(kept, sealer)) {
            return Ok(key);
        }
        let (private, bytes) = private_key(random);
        let public = public_of(&private).ok_or_else(|| impossible("a fresh key has no public half"))?;
        let new = KeptKey { public: public.to_vec(), sealed: sealer.seal(Purpose::Push, OWNER, bytes.as_slice()) };
        let mut tx = conn.begin().await?;
        push::keep_key(&mut tx, &new, kept.as_ref(), clock.now()).await?;
        let ours = push::find_key(&mut tx).await?.ok_or(sqlx::Error::RowNotFound)?;
        let ended = browsers::end_of_other_keys(&mut tx, &ours.public).await?;
        tx.commit().await?;
        if kept.is_some() {
            tracing::warn!(
                browsers = ended,
                "the key that push services know this portal by is sealed with a secret key that is gone; there is a new one, and \
                 people must turn push on again in their browsers"
            );
        }
        Self::open(&ours, sealer).ok_or_else(|| impossible("the key for push services cannot be opened"))
    }

    /// The header that proves to the push service of this origin who sends.
    pub(super) fn authorization(&self, origin: &str, contact: &str, now: Timestamp) -> String {
        let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let until = now.checked_add(PROVES_FOR).unwrap_or(now).as_second();
        let claims = part(json!({ "aud": origin, "exp": until, "sub": contact }));
        let said = format!("{}.{claims}", part(json!({ "typ": "JWT", "alg": "ES256" })));
        let signature = self.pair.sign(&SystemRandom::new(), said.as_bytes()).expect("a short text can be signed");
        let signature = URL_SAFE_NO_PAD.encode(signature.as_ref());
        format!("vapid t={said}.{signature}, k={}", URL_SAFE_NO_PAD.encode(self.public))
    }
}

fn impossible(text: &str) -> sqlx::Error {
    sqlx::Error::Decode(text.into())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use serde_json::Value;

    use super::*;

    /// What the header says, if its signature is right.
    fn read(header: &str) -> Option<Value> {
        let (token, key) = header.strip_prefix("vapid t=")?.split_once(", k=")?;
        let (said, signature) = token.rsplit_once('.')?;
        let key = URL_SAFE_NO_PAD.decode(key).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(said.as_bytes(), &signature).ok()?;
        let (head, claims) = said.split_once('.')?;
        let head: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(head).ok()?).ok()?;
        assert_eq!((&head["typ"], &head["alg"]), (&json!("JWT"), &json!("ES256")));
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }

    #[test]
    fn the_example_of_rfc_8292_reads_as_ours_does() {
        let theirs = "vapid t=eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM\
            3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjj\
            vW2L9OkSSHzvoD1oA, k=BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";
        let claims = read(theirs).unwrap();
        assert_eq!(claims["aud"], "https://push.example.net");
        assert_eq!(claims["sub"], "mailto:push@example.com");
        assert!(read(&theirs.replace("0oA,", "1oA,").replace("i3CY", "i4CY")).is_none());
    }

    #[test]
    fn a_proof_names_the_service_the_contact_and_an_end_within_a_day() {
        let key = ServerKey::from_private(private_key(&Random::seeded(9)).1.as_slice()).unwrap();
        let now: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let header = key.authorization("https://web.push.apple.com", "mailto:ops@example.com", now);
        let claims = read(&header).unwrap();
        assert_eq!(claims["aud"], "https://web.push.apple.com");
        assert_eq!(claims["sub"], "mailto:ops@example.com");
        let left = claims["exp"].as_i64().unwrap() - now.as_second();
        assert!((3600..=86_400).contains(&left), "{left}");
        assert!(header.len() < 1000);
    }
}
