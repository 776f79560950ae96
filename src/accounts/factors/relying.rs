//! What a browser is asked for with passkeys, and whether an answer is good: the one place that knows the WebAuthn
//! library. The challenge is always our own, because a decision's is the decision (S-18).
//!
//! It must never say that an answer is good without the library's word for its origin, host, signature and counter.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;
use webauthn_rs::prelude::{
    COSEAlgorithm, COSEKey, COSEKeyType, CredentialID, ECDSACurve, Passkey, PasskeyAuthentication, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, Uuid, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::domain::ids::AccountId;

/// How long a browser lets its person look for their key, in milliseconds.
const PATIENCE: u32 = 300_000;

/// This portal, as authenticators know it: by its host name and address.
#[derive(Debug)]
pub struct RelyingParty {
    library: Webauthn,
    pub host: String,
}

/// Why an answer is not taken, for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAnswer {
    /// There may be a copy of the key.
    CounterWentBack,
    Because(&'static str),
}

impl BadAnswer {
    #[must_use]
    pub fn why(self) -> &'static str {
        match self {
            Self::CounterWentBack => "its counter went back: there may be a copy of it",
            Self::Because(why) => why,
        }
    }
}

impl From<WebauthnError> for BadAnswer {
    fn from(error: WebauthnError) -> Self {
        Self::Because(match error {
            WebauthnError::CredentialPossibleCompromise => return Self::CounterWentBack,
            WebauthnError::InvalidRPOrigin => "it was made at another address",
            WebauthnError::InvalidRPIDHash => "it was made for another host name",
            WebauthnError::InvalidClientDataType => "it answers another kind of question",
            WebauthnError::MismatchedChallenge => "it answers another challenge",
            WebauthnError::UserNotVerified => "its person was not verified",
            WebauthnError::UserNotPresent => "nobody was present",
            WebauthnError::CredentialNotFound => "it is another passkey",
            WebauthnError::AuthenticationFailure | WebauthnError::SignatureInvalid => "its signature is wrong",
            WebauthnError::CredentialBackupEligibilityInconsistent => {
                "it says otherwise than before whether it can be copied"
            }
            _ => "it cannot be understood",
        })
    }
}

/// A passkey that was made just now.
pub struct Made {
    pub credential_id: Vec<u8>,
    pub credential: Value,
    pub public_key: Value,
}

/// An answer that was good.
#[derive(Debug)]
pub struct Judged {
    /// The credential as it is to be kept from now on.
    pub credential: Value,
    pub public_key: Value,
}

/// What a browser answers when it is asked to prove something.
#[derive(Debug, Clone)]
pub struct Answer(PublicKeyCredential);

impl Answer {
    /// # Errors
    /// It is not what a browser answers.
    pub fn parse(text: &str) -> Result<Self, BadAnswer> {
        serde_json::from_str(text).map(Self).map_err(|_| BadAnswer::Because("it cannot be understood"))
    }

    #[must_use]
    pub fn credential_id(&self) -> &[u8] {
        &self.0.raw_id
    }

    /// The account that the authenticator says the passkey was made for.
    #[must_use]
    pub fn account(&self) -> Option<AccountId> {
        self.0.get_user_unique_id().and_then(|bytes| Uuid::from_slice(bytes).ok()).map(AccountId)
    }

    /// The signed bytes, for the record.
    #[must_use]
    pub fn parts(&self) -> [&[u8]; 3] {
        let response = &self.0.response;
        [&response.authenticator_data, &response.client_data_json, &response.signature]
    }
}

impl RelyingParty {
    /// None where the address has no host name: browsers know no passkeys for an IP address.
    #[must_use]
    pub fn of(public_url: &Url) -> Option<Self> {
        let host = public_url.domain()?.to_owned();
        let origin = Url::parse(&public_url.origin().ascii_serialization()).ok()?;
        let library = WebauthnBuilder::new(&host, &origin).ok()?.rp_name("Countersign").build().ok()?;
        Some(Self { library, host })
    }

    /// Asks for a new passkey: the options for the browser, and what the answer will be judged by.
    ///
    /// # Errors
    /// The library's.
    pub fn ask_to_make(
        &self,
        account: AccountId,
        (email, name): (&str, &str),
        known: Vec<Vec<u8>>,
    ) -> Result<(Value, PasskeyRegistration), WebauthnError> {
        let known: Vec<CredentialID> = known;
        let (asked, state) = self.library.start_passkey_registration(account.0, email, name, Some(known))?;
        let mut options = serde_json::to_value(&asked)?;
        // Kept on the device where it can be, so that it can be found without an e-mail.
        options["publicKey"]["authenticatorSelection"]["residentKey"] = json!("preferred");
        options["publicKey"]["timeout"] = json!(PATIENCE);
        Ok((options, state))
    }

    /// Judges what a browser made.
    ///
    /// # Errors
    /// [`BadAnswer`].
    pub fn judge_made(&self, answer: &str, state: &PasskeyRegistration) -> Result<Made, BadAnswer> {
        let answer: RegisterPublicKeyCredential =
            serde_json::from_str(answer).map_err(|_| BadAnswer::Because("it cannot be understood"))?;
        refuse_framed(&answer.response.client_data_json)?;
        let passkey = self.library.finish_passkey_registration(&answer, state)?;
        let public_key =
            jwk(passkey.get_public_key()).ok_or(BadAnswer::Because("its key is of a kind not taken here"))?;
        let credential = serde_json::to_value(&passkey).map_err(WebauthnError::from)?;
        Ok(Made { credential_id: passkey.cred_id().clone(), credential, public_key })
    }

    /// Asks for proof with one of these passkeys; with none, for whichever the person has on their device.
    #[must_use]
    pub fn ask_to_prove<'a>(&self, challenge: &[u8; 32], passkeys: impl Iterator<Item = &'a Value>) -> Value {
        let allowed: Vec<Value> = passkeys
            .filter_map(|credential| {
                let credential = &credential["cred"];
                let mut one = json!({ "type": "public-key", "id": credential.get("cred_id")? });
                if let Some(transports) = credential.get("transports").filter(|it| it.is_array()) {
                    one["transports"] = transports.clone();
                }
                Some(one)
            })
            .collect();
        json!({ "publicKey": {
            "challenge": URL_SAFE_NO_PAD.encode(challenge), "rpId": self.host, "allowCredentials": allowed,
            "userVerification": "required", "timeout": PATIENCE,
        }})
    }

    /// Judges an answer by the passkey as it is kept.
    ///
    /// # Errors
    /// [`BadAnswer`].
    pub fn judge(&self, answer: &Answer, kept: &Value, challenge: &[u8; 32]) -> Result<Judged, BadAnswer> {
        refuse_framed(&answer.0.response.client_data_json)?;
        let mut passkey: Passkey = serde_json::from_value(kept.clone()).map_err(WebauthnError::from)?;
        let state = self.state(&passkey, challenge)?;
        let result = self.library.finish_passkey_authentication(&answer.0, &state)?;
        if !result.user_verified() {
            return Err(BadAnswer::Because("its person was not verified"));
        }
        passkey.update_credential(&result);
        let public_key =
            jwk(passkey.get_public_key()).ok_or(BadAnswer::Because("its key is of a kind not taken here"))?;
        Ok(Judged { credential: serde_json::to_value(&passkey).map_err(WebauthnError::from)?, public_key })
    }

    /// The library's own state for one passkey, with our challenge in place of the one it made.
    fn state(&self, passkey: &Passkey, challenge: &[u8; 32]) -> Result<PasskeyAuthentication, WebauthnError> {
        let (_, state) = self.library.start_passkey_authentication(std::slice::from_ref(passkey))?;
        let mut state = serde_json::to_value(&state)?;
        let ours = &mut state["ast"]["challenge"];
        if !ours.is_string() {
            return Err(WebauthnError::ChallengeNotFound);
        }
        *ours = json!(URL_SAFE_NO_PAD.encode(challenge));
        Ok(serde_json::from_value(state)?)
    }
}

/// The member that the library does not look at when something is proven.
#[derive(Deserialize)]
struct Framed {
    #[serde(default, rename = "crossOrigin")]
    cross_origin: bool,
    #[serde(default, rename = "topOrigin")]
    top_origin: Option<String>,
}

/// No page of ours stands within another, so nothing asked for there was asked for by us.
fn refuse_framed(client_data: &[u8]) -> Result<(), BadAnswer> {
    let framed: Framed =
        serde_json::from_slice(client_data).map_err(|_| BadAnswer::Because("it cannot be understood"))?;
    if framed.cross_origin || framed.top_origin.is_some() {
        return Err(BadAnswer::Because("it was asked for within another site's page"));
    }
    Ok(())
}

/// The public key as everybody can read it (RFC 7517). None: a kind that nobody is asked for.
fn jwk(key: &COSEKey) -> Option<Value> {
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    match (&key.type_, &key.key) {
        (COSEAlgorithm::ES256, COSEKeyType::EC_EC2(ec)) if ec.curve == ECDSACurve::SECP256R1 => {
            Some(json!({ "kty": "EC", "crv": "P-256", "alg": "ES256", "x": text(&ec.x), "y": text(&ec.y) }))
        }
        (COSEAlgorithm::ES384, COSEKeyType::EC_EC2(ec)) if ec.curve == ECDSACurve::SECP384R1 => {
            Some(json!({ "kty": "EC", "crv": "P-384", "alg": "ES384", "x": text(&ec.x), "y": text(&ec.y) }))
        }
        (COSEAlgorithm::RS256, COSEKeyType::RSA(rsa)) => {
            Some(json!({ "kty": "RSA", "alg": "RS256", "n": text(&rsa.n), "e": text(&rsa.e) }))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_has_passkeys_and_an_ip_address_has_none() {
        let of = |url: &str| RelyingParty::of(&Url::parse(url).unwrap()).map(|it| it.host);
        assert_eq!(of("https://sign.example.org/"), Some("sign.example.org".to_owned()));
        assert_eq!(of("http://localhost:8080"), Some("localhost".to_owned()));
        assert_eq!(of("http://127.0.0.1:8080"), None);
        assert_eq!(of("http://[::1]:8080"), None);
    }

    #[test]
    fn what_was_asked_for_within_another_page_is_refused() {
        // S-17
        assert!(refuse_framed(br#"{"type":"webauthn.get"}"#).is_ok());
        assert!(refuse_framed(br#"{"crossOrigin":false}"#).is_ok());
        for framed in [&br#"{"crossOrigin":true}"#[..], br#"{"topOrigin":"https://evil.example"}"#, b"nonsense"] {
            assert!(refuse_framed(framed).is_err());
        }
    }
}
