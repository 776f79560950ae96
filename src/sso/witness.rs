//! What a provider says about a person, gathered from the ID token and, where that says too little, from the user info.

use std::collections::BTreeSet;

use jiff::Timestamp;
use openidconnect::core::CoreGenderClaim;
use openidconnect::{OAuth2TokenResponse as _, StandardClaims, UserInfoClaims, UserInfoError};

use super::claims::{Beside, Claims, name_of, vouches};
use super::provider::{Errand, Party, Provider, Tokens};
use super::trouble::Trouble;
use super::verifying::SKEW;

/// The longest subject that is kept.
const LONGEST_SUBJECT: usize = 512;

/// What a provider says about a person, once everything it said was found true.
#[derive(Debug, Clone)]
pub struct Witness {
    pub issuer: String,
    pub subject: String,
    /// As the provider writes it, if at all.
    pub email: Option<String>,
    pub is_email_verified: bool,
    pub name: Option<String>,
    pub groups: BTreeSet<String>,
    /// There was a second factor, as the configuration understands the provider.
    pub vouches_factor: bool,
    /// When they proved themselves there, if that was after they were sent and the provider says so.
    pub proven_anew_at: Option<Timestamp>,
}

impl Witness {
    /// Takes what was missing from the user info.
    fn complete(&mut self, claims: &StandardClaims<CoreGenderClaim>) {
        if self.email.is_none() {
            self.email = claims.email().map(|email| email.to_string());
            self.is_email_verified = claims.email_verified() == Some(true);
        }
        if self.name.is_none() {
            self.name = name_of(claims);
        }
    }
}

impl Provider {
    pub(super) async fn witness(
        &self,
        party: &Party,
        tokens: &Tokens,
        claims: &Claims,
        errand: &Errand,
    ) -> Result<Witness, Trouble> {
        let mut witness = self.first_word(claims, errand);
        if witness.subject.is_empty() || witness.subject.len() > LONGEST_SUBJECT {
            return Err(Trouble::wrong(format!("the subject is empty or longer than {LONGEST_SUBJECT} bytes")));
        }
        let mut groups = claims.additional_claims().find_groups(&self.config().groups_claim)?;
        // What an ID token leaves out is asked for: many providers put only the subject into it.
        let lacks_groups = groups.is_none() && self.config().maps_anything();
        let lacks = witness.email.is_none() || witness.name.is_none() || lacks_groups;
        if lacks && party.user_info_url().is_some() {
            let more = self.ask_more(party, tokens, claims).await?;
            if groups.is_none() {
                groups = more.additional_claims().find_groups(&self.config().groups_claim)?;
            }
            witness.complete(more.standard_claims());
        }
        witness.groups = groups.unwrap_or_default();
        Ok(witness)
    }

    /// What the ID token alone says.
    fn first_word(&self, claims: &Claims, errand: &Errand) -> Witness {
        let proven_at = claims.auth_time().and_then(|at| Timestamp::from_second(at.timestamp()).ok());
        let anew = errand.begun_at().checked_sub(SKEW).unwrap_or(errand.begun_at());
        Witness {
            issuer: claims.issuer().to_string(),
            subject: claims.subject().to_string(),
            email: claims.email().map(|email| email.to_string()),
            is_email_verified: claims.email_verified() == Some(true),
            name: claims.name().and_then(|name| name.get(None)).map(|name| name.to_string()),
            groups: BTreeSet::new(),
            vouches_factor: vouches(self.config(), claims),
            // Its clock may be ahead of ours; nothing was proven in the future.
            proven_anew_at: proven_at.filter(|at| *at >= anew).map(|at| at.min(self.now())),
        }
    }

    async fn ask_more(
        &self,
        party: &Party,
        tokens: &Tokens,
        claims: &Claims,
    ) -> Result<UserInfoClaims<Beside, CoreGenderClaim>, Trouble> {
        // It must be about the same subject; the crate sees to it.
        let request = party.user_info(tokens.access_token().clone(), Some(claims.subject().clone()));
        let request = request.map_err(|error| Trouble::wrong(error.to_string()))?;
        request.request_async(self.wire()).await.map_err(|error| match error {
            UserInfoError::Request(cause) => Trouble::of_wire(&cause, "it does not tell more about the person"),
            other => Trouble::wrong(format!("what it tells about the person is refused: {other}")),
        })
    }
}
