//! One provider: sending a person there, and hearing what it says when they come back (S-19 to S-22).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreRevocableToken,
    CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AuthType, AuthenticationContextClass, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, IdToken, IdTokenFields, IssuerUrl, Nonce,
    PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _,
};
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use url::Url;

use super::back::Back;
use super::claims::Beside;
use super::known::{Known, Read};
use super::trouble::Trouble;
use super::wire::{Wire, WireError};
use super::witness::Witness;
use crate::clock::Clock;
use crate::config::SsoConfig;
use crate::random::Random;

pub(super) type Token = IdToken<Beside, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>;
type TokenFields = IdTokenFields<
    Beside,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
pub(super) type Tokens = StandardTokenResponse<TokenFields, CoreTokenType>;
type TokenError = RequestTokenError<WireError, StandardErrorResponse<CoreErrorResponseType>>;
pub(super) type Party = Client<
    Beside,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// What must be remembered from sending somebody away until they come back. Secret: to be sealed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Errand {
    /// The half of `state` that is random.
    state: [u8; 32],
    nonce: String,
    verifier: String,
    begun_at: Timestamp,
    /// They must prove themselves afresh there.
    again: bool,
}

impl Errand {
    pub(super) fn begun_at(&self) -> Timestamp {
        self.begun_at
    }

    pub(super) fn nonce(&self) -> Nonce {
        Nonce::new(self.nonce.clone())
    }
}

/// A configured provider.
#[derive(Debug)]
pub struct Provider {
    config: SsoConfig,
    redirect: RedirectUrl,
    known: Known,
    wire: Wire,
    clock: Clock,
    random: Random,
}

impl Provider {
    pub(super) fn open(
        config: &SsoConfig,
        public_url: &Url,
        (clock, random): (&Clock, &Random),
    ) -> Result<Self, String> {
        let issuer = IssuerUrl::new(config.issuer.clone()).map_err(|error| error.to_string())?;
        let path = format!("/sign-in/sso/{}/back", config.name);
        // From the configuration alone, never from a request (S-22, S-44).
        let redirect = public_url.join(&path).map_err(|error| error.to_string())?;
        Ok(Self {
            config: config.clone(),
            redirect: RedirectUrl::from_url(redirect),
            known: Known::new(issuer, clock.clone()),
            wire: Wire::open(config.is_on_loopback()).map_err(|error| error.to_string())?,
            clock: clock.clone(),
            random: random.clone(),
        })
    }

    #[must_use]
    pub fn config(&self) -> &SsoConfig {
        &self.config
    }

    pub(super) fn known(&self) -> &Known {
        &self.known
    }

    pub(super) fn wire(&self) -> &Wire {
        &self.wire
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What sessions begun through it say of how they began, and what group members are `given_by`.
    #[must_use]
    pub fn method(&self) -> String {
        format!("sso:{}", self.config.name)
    }

    /// Something to remember while a person is away. With `again`, a session they still have there is not enough.
    #[must_use]
    pub fn errand(&self, again: bool) -> Errand {
        let text = || URL_SAFE_NO_PAD.encode(self.random.bytes::<32>());
        Errand { state: self.random.bytes(), nonce: text(), verifier: text(), begun_at: self.clock.now(), again }
    }

    /// Learns where people are to be sent, if that is not known.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn prepare(&self) -> Result<(), Trouble> {
        self.known.load(&self.wire).await.map(|_| ())
    }

    /// Where to send the person. `id` comes back with them.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn address(&self, errand: &Errand, id: [u8; 16]) -> Result<Url, Trouble> {
        let read = self.known.load(&self.wire).await?;
        let state = URL_SAFE_NO_PAD.encode([&id[..], &errand.state].concat());
        let nonce = errand.nonce.clone();
        let party = self.party(&read);
        let request = party.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        );
        let verifier = PkceCodeVerifier::new(errand.verifier.clone());
        let request = request.set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        let others = self.config.scopes.iter().filter(|scope| *scope != "openid");
        let mut request = request.add_scopes(others.cloned().map(Scope::new));
        for context in &self.config.factor_acr {
            request = request.add_auth_context_value(AuthenticationContextClass::new(context.clone()));
        }
        if errand.again {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
        }
        let (url, _, _) = request.url();
        self.may_be_sent_to(&url)
            .then_some(url)
            .ok_or_else(|| Trouble::wrong("it would have people sign in over plain http"))
    }

    fn may_be_sent_to(&self, url: &Url) -> bool {
        url.scheme() == "https" || (self.config.is_on_loopback() && url.scheme() == "http")
    }

    /// Hears what the provider says about the person who came back: exchanges the code, and believes the answer only if
    /// all of it is true.
    ///
    /// # Errors
    /// [`Trouble`]. Whatever it is, the errand is over.
    pub async fn hear(&self, errand: &Errand, back: &Back) -> Result<Witness, Trouble> {
        let read = self.known.load(&self.wire).await?;
        let code = self.accept(errand, back, &read)?;
        let party = self.party(&read);
        let verifier = PkceCodeVerifier::new(errand.verifier.clone());
        let exchange = party.exchange_code(AuthorizationCode::new(code));
        let exchange = exchange.map_err(|_| Trouble::wrong("it does not say where codes are exchanged"))?;
        let tokens = exchange.set_pkce_verifier(verifier).request_async(&self.wire).await.map_err(of_exchange)?;
        let token = tokens.id_token().ok_or_else(|| Trouble::wrong("it sent no ID token"))?;
        let claims = self.verify(token, errand, &read).await?;
        self.witness(&party, &tokens, claims, errand).await
    }

    /// The code, if the answer is this provider's to this errand.
    fn accept(&self, errand: &Errand, back: &Back, read: &Read) -> Result<String, Trouble> {
        let Some((_, secret)) = back.halves() else { return Err(Trouble::wrong("the state is not ours")) };
        if !bool::from(secret.ct_eq(&errand.state)) {
            return Err(Trouble::wrong("the state is another's"));
        }
        let says_who = read.metadata.additional_metadata().authorization_response_iss_parameter_supported;
        match back.issuer() {
            Some(issuer) if issuer != self.config.issuer => {
                return Err(Trouble::wrong("the answer is another provider's (RFC 9207)"));
            }
            None if says_who => return Err(Trouble::wrong("the answer does not say whose it is (RFC 9207)")),
            _ => {}
        }
        if let Some(reason) = back.reason() {
            return Err(Trouble::SentBack(reason.to_owned()));
        }
        back.code().map(str::to_owned).ok_or_else(|| Trouble::wrong("the answer has no code"))
    }

    fn party(&self, read: &Read) -> Party {
        let id = ClientId::new(self.config.client_id.clone());
        let secret = ClientSecret::new(self.config.client_secret().expose_secret().to_owned());
        let metadata = (*read.metadata).clone().set_jwks((*read.keys).clone());
        let takes = |method| {
            let methods = metadata.token_endpoint_auth_methods_supported();
            methods.is_none_or(|methods| methods.contains(&method))
        };
        let in_body = !takes(CoreClientAuthMethod::ClientSecretBasic) && takes(CoreClientAuthMethod::ClientSecretPost);
        let party = Party::from_provider_metadata(metadata, id, Some(secret)).set_redirect_uri(self.redirect.clone());
        party.set_auth_type(if in_body { AuthType::RequestBody } else { AuthType::BasicAuth })
    }
}

fn of_exchange(error: TokenError) -> Trouble {
    match error {
        RequestTokenError::Request(cause) => Trouble::of_wire(&cause, "the code cannot be exchanged"),
        // Its own code for it, never its text: that may quote what was sent.
        RequestTokenError::ServerResponse(said) => {
            Trouble::wrong(format!("it does not exchange the code: {}", said.error()))
        }
        // Where, not what: it may quote a token.
        RequestTokenError::Parse(why, _) => Trouble::wrong(format!("its tokens cannot be read, at {}", why.path())),
        RequestTokenError::Other(why) => Trouble::wrong(format!("it does not exchange the code: {why}")),
    }
}
