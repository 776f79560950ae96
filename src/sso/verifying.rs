//! Whether an ID token is true, to the letter (S-20).

use std::time::SystemTime;

use jiff::SignedDuration;
use openidconnect::core::CoreJwsSigningAlgorithm;
use openidconnect::{ClaimsVerificationError, ClientId, IdTokenVerifier, SignatureVerificationError};

use super::claims::Claims;
use super::known::Read;
use super::provider::{Errand, Provider, Token};
use super::trouble::Trouble;

/// How far the provider's clock may be off (S-20).
pub(super) const SKEW: SignedDuration = SignedDuration::from_secs(60);

/// What tokens may be signed with (S-20). Nothing unsigned, and nothing with a secret that others know as well (HS*).
const ALGORITHMS: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
];

impl Provider {
    /// The claims, if everything about the token is right (S-20). A key that is not known may be a new one: the keys are
    /// read again, once.
    pub(super) async fn verify<'t>(
        &self,
        token: &'t Token,
        errand: &Errand,
        read: &Read,
    ) -> Result<&'t Claims, Trouble> {
        let unknown = ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey);
        let checked = match self.check(token, errand, read) {
            Err(error) if error == unknown => match self.known().load_keys_again(self.wire()).await? {
                Some(read) => self.check(token, errand, &read),
                None => Err(error),
            },
            checked => checked,
        };
        let claims = checked.map_err(|error| Trouble::wrong(format!("its ID token is refused: {error}")))?;
        let latest = self.now().saturating_add(SKEW).map_err(|error| Trouble::wrong(error.to_string()))?;
        if claims.additional_claims().not_before()?.is_some_and(|seconds| seconds > latest.as_second()) {
            return Err(Trouble::wrong("its ID token is refused: it is not valid yet"));
        }
        if claims.authorized_party().is_some_and(|party| **party != self.config().client_id) {
            return Err(Trouble::wrong("its ID token is refused: it was made for another party (azp)"));
        }
        Ok(claims)
    }

    fn check<'t>(&self, token: &'t Token, errand: &Errand, read: &Read) -> Result<&'t Claims, ClaimsVerificationError> {
        let now = self.now();
        let (id, issuer) = (ClientId::new(self.config().client_id.clone()), read.metadata.issuer().clone());
        // Without the secret: there is nothing an HS* signature could be checked with, whatever a token asks for.
        let verifier = IdTokenVerifier::new_public_client(id, issuer, (*read.keys).clone());
        let lenient = now.checked_sub(SKEW).unwrap_or(now);
        let latest = now.checked_add(SKEW).unwrap_or(now).as_second();
        let verifier = verifier
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || SystemTime::from(lenient).into())
            .set_issue_time_verifier_fn(move |at| {
                if at.timestamp() > latest { Err("it was issued in the future".to_owned()) } else { Ok(()) }
            });
        token.claims(&verifier, &errand.nonce())
    }
}
