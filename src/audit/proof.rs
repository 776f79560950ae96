//! Whether the signature that a decision's record holds is one under that decision, by a key that its person had then
//! (S-18, docs/decisions/0013). It looks at records alone: who trusts neither the portal nor its database can do the same
//! with any other program.

use std::collections::HashMap;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::decision::Verdict;
use crate::domain::ids::sha256;
use crate::domain::proof::challenge;
use crate::domain::shown::Fingerprint;

use super::kind::Kind;

/// Bits of the authenticator's flags: somebody was there, and was verified.
const PRESENT_AND_VERIFIED: u8 = 0b101;

#[derive(Deserialize)]
struct Record<'a> {
    /// Absent where the portal decided under a rule.
    person: Option<Uuid>,
    verdict: String,
    fingerprint: String,
    #[serde(borrow)]
    shown: &'a RawValue,
    step_up: Option<StepUp>,
}

#[derive(Deserialize)]
struct StepUp {
    by: String,
    #[serde(default)]
    passkey: Uuid,
    #[serde(default)]
    credential: String,
    #[serde(default)]
    public_key: Key,
    #[serde(default)]
    rp_id: String,
    #[serde(default)]
    nonce: String,
    #[serde(default)]
    authenticator_data: String,
    #[serde(default)]
    client_data: String,
    #[serde(default)]
    signature: String,
}

/// A JSON Web Key (RFC 7517), as far as passkeys have them.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Key {
    alg: String,
    x: String,
    y: String,
    n: String,
    e: String,
}

#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: url::Url,
}

/// What `factor.added` and `factor.removed` tell of passkeys. Other factors have no key.
#[derive(Deserialize)]
struct Factor {
    person: Uuid,
    factor: String,
    #[serde(default)]
    passkey: Uuid,
    #[serde(default)]
    credential: Option<String>,
    #[serde(default)]
    public_key: Key,
}

/// Whose passkey has which key, as the records so far tell. Of a key only a digest is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    added: HashMap<Uuid, (Uuid, [u8; 32])>,
    /// A record of a key was erased; a key nobody knows may be that one.
    erased: bool,
}

impl Keys {
    /// Takes in a record of a factor that was added or removed.
    pub(super) fn note(&mut self, kind: Kind, payload: &str) -> Result<(), &'static str> {
        let told: Factor = serde_json::from_str(payload).map_err(|_| "the record is none of a factor")?;
        match (kind, told.factor.as_str()) {
            (Kind::FactorAdded, "passkey") => {
                self.added.insert(
                    told.passkey,
                    (told.person, told.public_key.digest(told.credential.as_deref().unwrap_or_default())),
                );
            }
            (Kind::FactorRemoved, "passkey") => drop(self.added.remove(&told.passkey)),
            (Kind::FactorRemoved, "all") => self.added.retain(|_, (person, _)| *person != told.person),
            _ => {}
        }
        Ok(())
    }

    /// There is a record of a factor that was added which says nothing any more.
    pub(super) fn miss(&mut self) {
        self.erased = true;
    }

    /// Checks the payload of a `decision.intended` as [`check`] does, and that the key was its person's.
    pub(super) fn check(&self, payload: &str) -> Result<(), &'static str> {
        let Some((person, proof)) = find_signed(payload)? else { return Ok(()) };
        match self.added.get(&proof.passkey) {
            Some(known) if *known == (person, proof.public_key.digest(&proof.credential)) => Ok(()),
            None if self.erased => Ok(()),
            _ => Err("no record before it tells that its person had that key"),
        }
    }
}

impl Key {
    fn digest(&self, credential: &str) -> [u8; 32] {
        sha256([credential, &self.alg, &self.x, &self.y, &self.n, &self.e].join("\n").as_bytes())
    }
}

/// Checks the signature in the payload of a `decision.intended`, if it holds one. Says whether it did.
///
/// # Errors
/// What is wrong with it.
pub fn check(payload: &str) -> Result<bool, &'static str> {
    find_signed(payload).map(|found| found.is_some())
}

/// The person and the signature, if there is one. It holds, as far as one record can tell.
fn find_signed(payload: &str) -> Result<Option<(Uuid, StepUp)>, &'static str> {
    let record: Record<'_> = serde_json::from_str(payload).map_err(|_| "the record is none of a decision")?;
    let Some(proof) = record.step_up.filter(|proof| proof.by == "passkey") else { return Ok(None) };
    let person = record.person.ok_or("it is signed, and nobody made it")?;
    let nonce: [u8; 32] = bytes(&proof.nonce)?.try_into().map_err(|_| "the nonce has not 32 bytes")?;
    let fingerprint = Fingerprint::parse(&record.fingerprint).ok_or("the fingerprint is none")?;
    let verdict = Verdict::from_name(&record.verdict).ok_or("the verdict is none")?;
    if Fingerprint::of_json(record.shown.get()) != fingerprint {
        return Err("the fingerprint is not that of what was shown");
    }
    let client_data = bytes(&proof.client_data)?;
    let said: ClientData = serde_json::from_slice(&client_data).map_err(|_| "the client data cannot be read")?;
    if said.kind != "webauthn.get" {
        return Err("the client data is not about proving");
    }
    if bytes(&said.challenge)? != challenge(&nonce, fingerprint, verdict) {
        return Err("what was signed is another decision");
    }
    let data = bytes(&proof.authenticator_data)?;
    let host = said.origin.host_str();
    if data.get(..32) != Some(&sha256(proof.rp_id.as_bytes())[..]) || host != Some(&proof.rp_id) {
        return Err("the signature is for another host name");
    }
    if data.get(32).is_none_or(|flags| flags & PRESENT_AND_VERIFIED != PRESENT_AND_VERIFIED) {
        return Err("nobody was verified");
    }
    let signed = [&data[..], &sha256(&client_data)].concat();
    match is_signed(&proof.public_key, &signed, &bytes(&proof.signature)?)? {
        true => Ok(Some((person, proof))),
        false => Err("the signature is wrong"),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, &'static str> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| "a member is not base64url")
}

fn is_signed(key: &Key, message: &[u8], signature: &[u8]) -> Result<bool, &'static str> {
    let point = || Ok::<_, &'static str>([&[4][..], &bytes(&key.x)?, &bytes(&key.y)?].concat());
    Ok(match key.alg.as_str() {
        "ES256" => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point()?).verify(message, signature).is_ok(),
        "ES384" => UnparsedPublicKey::new(&ECDSA_P384_SHA384_ASN1, point()?).verify(message, signature).is_ok(),
        "RS256" => {
            let key = RsaPublicKeyComponents { n: bytes(&key.n)?, e: bytes(&key.e)? };
            key.verify(&RSA_PKCS1_2048_8192_SHA256, message, signature).is_ok()
        }
        _ => return Err("the key is of an unknown kind"),
    })
}
