//! Signing in by way of an identity provider: sending people there, and what becomes of them when they come back.
//!
//! Who somebody is, is issuer and subject, never an e-mail (S-21). Whoever the provider knows and the portal does not let
//! in reads the same, whatever the reason (S-10); the reason is for the log and the record.

mod letting_in;
mod linking;
mod mapping;
mod step_up;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use sqlx::Connection as _;

use super::ceremonies::{Holder, Purpose};
use super::sign_in::SignInError;
use super::strangers::Deed;
use super::{Accounts, NewSession, Origin, Unavailable};
use crate::domain::ids::{AccountId, CeremonyId};
use crate::domain::people::{Factor, Person};
use crate::sso::{Back, Errand, Provider, Providers, Trouble, Witness};
use url::Url;

pub use linking::IdentityView;

/// The service for single sign-on. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sso {
    accounts: Accounts,
    providers: Providers,
}

/// What somebody is sent to a provider for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    SignIn,
    /// To make their identity there one of their account's here.
    Link,
    /// To prove afresh who they are.
    StepUp,
}

/// Where somebody wants to go from there.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Wanted {
    /// A page of ours.
    pub return_to: String,
    /// The form that was stopped for fresh proof, if it was one, and its fields.
    pub action: String,
    pub kept: Vec<(String, String)>,
}

/// Somebody is to be sent to a provider.
#[derive(Debug)]
pub struct Leaving<'a> {
    pub provider: &'a str,
    pub aim: Aim,
    pub holder: Holder,
    /// Who it is, if they are signed in.
    pub account: Option<AccountId>,
    pub wanted: Wanted,
    pub address: IpAddr,
}

/// Somebody has come back.
#[derive(Debug)]
pub struct Arriving<'a> {
    pub provider: &'a str,
    pub back: &'a Back,
    pub holder: Holder,
    /// Who is signed in here.
    pub person: Option<&'a Person>,
    pub origin: Origin,
    /// The session cookie that came with the request, if any: that session ends when another begins (S-25).
    pub replaces: Option<SecretString>,
}

/// What became of it.
#[derive(Debug)]
pub struct Arrived {
    pub became: Became,
    pub wanted: Wanted,
}

/// What became of somebody who came back.
#[derive(Debug)]
pub enum Became {
    SignedIn(NewSession),
    /// They have a second factor here, and the provider vouches for none: it is to be shown next.
    NeedsSecond,
    /// An identity was linked.
    Linked,
    /// Their session goes on under another id.
    Proven(NewSession),
}

/// Why nothing came of it. `label` is what people call the provider.
#[derive(Debug, thiserror::Error)]
pub enum SsoError {
    #[error("There is no such identity provider.")]
    NoSuchProvider,
    #[error("Too many tries.")]
    TooMany { retry_after: Duration },
    /// 503.
    #[error("{label} cannot be reached just now. Nothing was done; try again in a moment.")]
    Unreachable { label: String },
    /// 400: nothing that came is believed (S-19, S-20).
    #[error(
        "This answer from {label} cannot be used: it is too old, was used before, or was not asked for by this browser. \
         Nothing was done. Begin again."
    )]
    Refused { label: String },
    #[error("{label} did not sign you in. Nothing was done; begin again when you like.")]
    SentBack { label: String },
    /// 403, for whatever reason.
    #[error(
        "{label} knows you, but you cannot sign in here with it. Ask an admin of this portal. If you have an account here \
         already, sign in with it and link {label} under My account."
    )]
    NotLetIn { label: String },
    #[error("You are somebody else's account here, as far as {label} knows. Sign in there as yourself and try again.")]
    Taken { label: String },
    #[error("Your account is linked with another identity at {label}. Unlink that one first.")]
    HasAnother { label: String },
    #[error("{label} did not prove afresh that it is you, so this is not enough. Prove it in another way.")]
    NotProven { label: String },
    #[error("{label} is your only way in. Set a password, add a passkey, or link another provider first.")]
    OnlyWayIn { label: String },
    #[error("Your account is not linked with {label}.")]
    NotLinked { label: String },
    #[error("You are no longer signed in.")]
    SignedOut,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for SsoError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

impl From<SignInError> for SsoError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::TooMany { retry_after } | SignInError::Busy { retry_after } => Self::TooMany { retry_after },
            SignInError::Unavailable(cause) => Self::Unavailable(cause),
            SignInError::Wrong => Self::SignedOut,
        }
    }
}

/// What is remembered while somebody is away. Sealed.
#[derive(Serialize, Deserialize)]
struct Trip {
    provider: String,
    aim: Aim,
    wanted: Wanted,
    errand: Errand,
}

impl Sso {
    #[must_use]
    pub fn new(accounts: Accounts, providers: Providers) -> Self {
        Self { accounts, providers }
    }

    /// The providers, in the order of the configuration: name and label.
    pub fn providers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.providers.iter().map(|provider| (provider.config().name.as_str(), provider.config().label.as_str()))
    }

    /// Whether everybody may sign in with a password.
    #[must_use]
    pub fn takes_passwords(&self) -> bool {
        self.accounts.0.settings.local_sign_in
    }

    /// Remembers that this browser asked for it, and says where to send it (S-19).
    ///
    /// # Errors
    /// [`SsoError`]. Nothing is remembered then.
    pub async fn leave(&self, leaving: Leaving<'_>) -> Result<Url, SsoError> {
        let provider = self.provider(leaving.provider)?;
        self.accounts.pass_address(leaving.address).await?;
        provider.prepare().await.map_err(|trouble| self.troubled(&provider, trouble))?;
        let errand = provider.errand(leaving.aim == Aim::StepUp);
        let trip = Trip { provider: leaving.provider.to_owned(), aim: leaving.aim, wanted: leaving.wanted, errand };
        let mut conn = self.accounts.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let about = (Purpose::Provider, leaving.holder);
        let id = self.accounts.begin_ceremony(&mut tx, about, leaving.account, &trip).await?;
        tx.commit().await?;
        drop(conn);
        provider.address(&trip.errand, id.0.into_bytes()).await.map_err(|trouble| self.troubled(&provider, trouble))
    }

    /// Hears what the provider says, and does what the person was sent there for.
    ///
    /// # Errors
    /// [`SsoError`]. Whatever it is, what came back with them is used up, if it was this browser's at all.
    pub async fn arrive(&self, arriving: Arriving<'_>) -> Result<Arrived, SsoError> {
        let provider = self.provider(arriving.provider)?;
        let Some(trip) = self.take(&arriving).await? else {
            return Err(self.refuse(&provider, "it was not asked for, or not by this browser, or was used before"));
        };
        // Each provider has an address of its own to come back to: an answer at another's is none (RFC 9700, 4.4).
        if trip.provider != arriving.provider {
            return Err(self.refuse(&provider, "another provider was asked"));
        }
        let heard = provider.hear(&trip.errand, arriving.back).await;
        let witness = heard.map_err(|trouble| self.troubled(&provider, trouble))?;
        let became = match (trip.aim, arriving.person) {
            (Aim::SignIn, _) => self.let_in((&provider, &witness), &arriving, &trip.wanted.return_to).await?,
            (Aim::Link, Some(person)) => {
                self.link(&provider, &witness, person).await?;
                Became::Linked
            }
            (Aim::StepUp, Some(person)) => {
                Became::Proven(self.step_up(&provider, &witness, (person, &arriving.origin)).await?)
            }
            (Aim::Link | Aim::StepUp, None) => return Err(SsoError::SignedOut),
        };
        Ok(Arrived { became, wanted: trip.wanted })
    }

    fn provider(&self, name: &str) -> Result<Arc<Provider>, SsoError> {
        self.providers.find(name).ok_or(SsoError::NoSuchProvider)
    }

    /// Takes what was remembered away: it is looked at once.
    async fn take(&self, arriving: &Arriving<'_>) -> Result<Option<Trip>, SsoError> {
        let Some(id) = arriving.back.id() else { return Ok(None) };
        let id = CeremonyId(uuid::Uuid::from_bytes(id));
        let mut conn = self.accounts.0.database.pages.acquire().await?;
        let about = (Purpose::Provider, arriving.holder);
        let taken = self.accounts.take_ceremony::<Trip>(&mut conn, id, about).await?;
        let signed_in = arriving.person.map(|person| person.account);
        Ok(taken.filter(|it| it.account == signed_in || it.state.aim == Aim::SignIn).map(|it| it.state))
    }

    /// Counts an answer that is not believed, as strangers' doings are.
    fn refuse(&self, provider: &Provider, why: &str) -> SsoError {
        let config = provider.config();
        tracing::warn!(provider = config.name, why, "an answer of an identity provider was refused");
        self.accounts.0.strangers.count(Deed::ProviderRefused);
        SsoError::Refused { label: config.label.clone() }
    }

    fn troubled(&self, provider: &Provider, trouble: Trouble) -> SsoError {
        let (name, label) = (&provider.config().name, provider.config().label.clone());
        match trouble {
            Trouble::Passing(why) => {
                tracing::warn!(provider = name, why, "an identity provider could not be asked");
                SsoError::Unreachable { label }
            }
            Trouble::Wrong(why) => self.refuse(provider, &why),
            Trouble::SentBack(reason) => {
                tracing::info!(provider = name, reason, "an identity provider did not sign somebody in");
                self.accounts.0.strangers.count(Deed::ProviderRefused);
                SsoError::SentBack { label }
            }
        }
    }
}

fn label(provider: &Provider) -> String {
    provider.config().label.clone()
}

/// What the provider vouches for, as a session keeps it.
fn vouched(witness: &Witness) -> Option<Factor> {
    witness.vouches_factor.then_some(Factor::Provider)
}
