//! How a source's configuration becomes a connection: region, endpoint, credentials, role. Credentials are loaded afresh
//! when AWS refuses them; a decision always loads them first, so that "the credentials could not be fetched" is known to
//! have left nothing at AWS.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_sdk_codepipeline::Client;
use aws_sdk_codepipeline::config::{Credentials, ProvideCredentials, SharedCredentialsProvider};
use aws_sdk_codepipeline::error::DisplayErrorContext;
use secrecy::ExposeSecret;

use super::body_limit::{BodyLimit, LARGEST_ANSWER};
use super::error::clip;
use super::queue;
use crate::config::SourceConfig;

/// Under which name the watcher's reads appear in CloudTrail when a role is assumed.
const WATCHER_SESSION: &str = "countersign-watch";

/// The times and first pace of a connection. The defaults are those of D-05.
#[derive(Debug, Clone)]
pub struct Settings {
    pub connect: Duration,
    /// One attempt, from fetching credentials to the last byte of the answer.
    pub attempt: Duration,
    /// The pace reading starts with.
    pub first_reads_per_second: u32,
    /// What the first wait before a read is repeated is drawn from.
    pub first_wait: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            attempt: Duration::from_secs(10),
            first_reads_per_second: 10,
            first_wait: Duration::from_millis(200),
        }
    }
}

/// A source that cannot even be tried.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    #[error(
        "the source `{0}` has no region: set `region` in its [[sources]] entry, AWS_REGION in the environment, or a region in its profile"
    )]
    NoRegion(String),
}

/// The parts of a connection that are built from the configuration, and again when credentials are renewed.
#[derive(Debug, Clone)]
pub(super) struct Connection {
    sdk: SdkConfig,
    pub(super) region: String,
    /// For reads: with the role's credentials where a role is assumed.
    pub(super) reads: Client,
    pub(super) sts: aws_sdk_sts::Client,
    /// For the source's queue, where it has one.
    pub(super) queue: Option<aws_sdk_sqs::Client>,
}

impl Connection {
    pub(super) async fn open(source: &SourceConfig, settings: &Settings) -> Result<Self, ConnectError> {
        let sdk = load(source, settings).await;
        let region = sdk.region().map(ToString::to_string).ok_or(ConnectError::NoRegion(source.name.to_string()))?;
        let acting = match assumed(source, &sdk, WATCHER_SESSION).await {
            Some(role) => sdk.to_builder().credentials_provider(SharedCredentialsProvider::new(role)).build(),
            None => sdk.clone(),
        };
        let (reads, sts) = (client(&acting, settings.attempt, None), aws_sdk_sts::Client::new(&acting));
        let queue = queue::client(source, &acting, settings.attempt);
        Ok(Self { region, reads, sts, queue, sdk })
    }

    /// Credentials for one act, such as a decision. With a role, the session carries `session_name` into CloudTrail (D-08).
    pub(super) async fn credentials_for(
        &self,
        source: &SourceConfig,
        session_name: &str,
    ) -> Result<Credentials, String> {
        let fetched = match assumed(source, &self.sdk, session_name).await {
            Some(role) => role.provide_credentials().await,
            None => match self.sdk.credentials_provider() {
                Some(provider) => provider.provide_credentials().await,
                None => return Err("no AWS credentials are configured".into()),
            },
        };
        fetched.map_err(|error| clip(&DisplayErrorContext(&error).to_string()))
    }

    /// A client that sends once, with exactly these credentials.
    pub(super) fn decision_client(&self, credentials: Credentials, attempt: Duration) -> Client {
        client(&self.sdk, attempt, Some(credentials))
    }
}

async fn load(source: &SourceConfig, settings: &Settings) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .app_name(AppName::new("countersign").expect("the name consists of letters"))
        .timeout_config(
            TimeoutConfig::builder().connect_timeout(settings.connect).operation_timeout(settings.attempt).build(),
        );
    if let Some(region) = &source.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &source.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = &source.endpoint_url {
        loader = loader.endpoint_url(endpoint.as_str());
    }
    if let Some(own) = &source.credentials {
        let token = own.session_token.as_ref().map(|token| token.expose_secret().to_owned());
        let secret = own.secret_access_key.expose_secret();
        loader =
            loader.credentials_provider(Credentials::new(&own.access_key_id, secret, token, None, "configuration"));
    }
    loader.load().await
}

async fn assumed(source: &SourceConfig, sdk: &SdkConfig, session_name: &str) -> Option<AssumeRoleProvider> {
    let base = sdk.credentials_provider()?;
    let mut role = AssumeRoleProvider::builder(source.role_arn.as_ref()?)
        .configure(sdk)
        .session_name(session_text(session_name))
        .session_length(Duration::from_secs(900));
    if let Some(id) = &source.external_id {
        role = role.external_id(id.expose_secret());
    }
    Some(role.build_from_provider(base).await)
}

fn client(sdk: &SdkConfig, attempt: Duration, credentials: Option<Credentials>) -> Client {
    let timeouts =
        sdk.timeout_config().map_or_else(TimeoutConfig::builder, TimeoutConfig::to_builder).operation_timeout(attempt);
    let mut config = aws_sdk_codepipeline::config::Builder::from(sdk)
        .interceptor(BodyLimit(LARGEST_ANSWER))
        // The gateway repeats reads itself, so that its pace sees every throttled one; decisions are never repeated.
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts.build());
    if let Some(credentials) = credentials {
        config = config.credentials_provider(credentials);
        config = config.identity_cache(aws_sdk_codepipeline::config::IdentityCache::no_cache());
    }
    Client::from_conf(config.build())
}

/// STS takes 2 to 64 characters of `[\w+=,.@-]` as a session name (AWS STS API Reference, AssumeRole).
fn session_text(name: &str) -> String {
    let mut text: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "_+=,.@-".contains(c) { c } else { '-' })
        .take(64)
        .collect();
    while text.len() < 2 {
        text.push('-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_session_name_becomes_one_that_sts_takes() {
        assert_eq!(session_text("countersign-rec-1234"), "countersign-rec-1234");
        assert_eq!(session_text("Ana Señor/1"), "Ana-Se-or-1");
        assert_eq!(session_text(""), "--");
        assert_eq!(session_text(&"x".repeat(100)).len(), 64);
    }
}
