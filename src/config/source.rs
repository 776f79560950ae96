//! A source in the configuration: one AWS account and region, and how to reach it.

use globset::{Glob, GlobSet, GlobSetBuilder};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use crate::domain::ids::SourceName;

/// One `[[sources]]` entry.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    pub name: SourceName,
    /// Absent: the SDK's own (`AWS_REGION`, the profile).
    #[serde(default)]
    pub region: Option<String>,
    /// Twelve digits. Absent: asked of AWS (`GetCallerIdentity`). Present: AWS must agree.
    #[serde(default)]
    pub account: Option<String>,
    /// Role to assume for this source.
    #[serde(default)]
    pub role_arn: Option<String>,
    #[serde(default)]
    pub external_id: Option<SecretString>,
    /// A profile of the SDK's configuration files.
    #[serde(default)]
    pub profile: Option<String>,
    /// Credentials of its own, also the base for `role_arn`.
    #[serde(default)]
    pub credentials: Option<Credentials>,
    /// Another implementation of the API, for this source alone. `AWS_ENDPOINT_URL_CODEPIPELINE` does it for all.
    #[serde(default)]
    pub endpoint_url: Option<Url>,
    /// The SQS queue in which AWS announces what happens in this source. Absent: it is only polled.
    #[serde(default)]
    pub queue_url: Option<Url>,
    /// Names of pipelines to watch, with `*` and `?`. Empty: all.
    #[serde(default)]
    pub include: Vec<String>,
    /// Names of pipelines to leave out, applied after `include`.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// The most reads a second from this account and region, 1 to 1000. The rate starts at 10 (or this, if less) and
    /// adapts below it.
    #[serde(default = "default_max_reads")]
    pub max_reads_per_second: u32,
}

/// Long-lived credentials for one source.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: SecretString,
    #[serde(default)]
    pub session_token: Option<SecretString>,
}

fn default_max_reads() -> u32 {
    40
}

impl SourceConfig {
    /// The source that stands when the file names none: everything from the SDK's own environment.
    #[must_use]
    pub fn from_environment() -> Self {
        Self {
            name: SourceName::parse("default").expect("`default` is a valid source name"),
            region: None,
            account: None,
            role_arn: None,
            external_id: None,
            profile: None,
            credentials: None,
            endpoint_url: None,
            queue_url: None,
            include: Vec::new(),
            exclude: Vec::new(),
            max_reads_per_second: default_max_reads(),
        }
    }

    /// Whether a pipeline of this name is watched.
    ///
    /// # Errors
    /// The pattern that cannot be read, and why.
    pub fn matcher(&self) -> Result<Matcher, String> {
        Ok(Matcher {
            include: patterns(&self.include)?,
            exclude: patterns(&self.exclude)?,
            all: self.include.is_empty(),
        })
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if let Some(account) = &self.account
            && !(account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(format!("`account` must be the twelve digits of an AWS account, not {account:?}"));
        }
        if let Some(arn) = &self.role_arn
            && !(arn.starts_with("arn:") && arn.contains(":role/"))
        {
            return Err(format!("`role_arn` must look like arn:aws:iam::111122223333:role/countersign, not {arn:?}"));
        }
        if self.external_id.is_some() && self.role_arn.is_none() {
            return Err("`external_id` only makes sense together with `role_arn`".into());
        }
        if self.profile.is_some() && self.credentials.is_some() {
            return Err("give either `profile` or `credentials`, not both".into());
        }
        if !(1..=1000).contains(&self.max_reads_per_second) {
            return Err("`max_reads_per_second` must be between 1 and 1000".into());
        }
        self.queue_url.as_ref().map_or(Ok(()), check_queue)?;
        self.matcher().map(|_| ())
    }
}

fn check_queue(url: &Url) -> Result<(), String> {
    let is_local = url.host().is_some_and(|host| match host {
        url::Host::Ipv4(address) => address.is_loopback(),
        url::Host::Ipv6(address) => address.is_loopback(),
        url::Host::Domain(name) => name == "localhost",
    });
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !is_plain || url.path().len() < 2 || !(url.scheme() == "https" || (url.scheme() == "http" && is_local)) {
        return Err(format!(
            "`queue_url` must be the address that SQS gives the queue, such as \
             https://sqs.eu-west-1.amazonaws.com/111122223333/countersign, not \"{url}\""
        ));
    }
    if url.path().ends_with(".fifo") {
        return Err("`queue_url` must be a standard queue: in a FIFO queue one message holds up others".into());
    }
    Ok(())
}

/// Include and exclude patterns, ready to be asked.
#[derive(Debug, Clone)]
pub struct Matcher {
    include: GlobSet,
    exclude: GlobSet,
    all: bool,
}

impl Matcher {
    #[must_use]
    pub fn takes(&self, pipeline: &str) -> bool {
        (self.all || self.include.is_match(pipeline)) && !self.exclude.is_match(pipeline)
    }
}

fn patterns(texts: &[String]) -> Result<GlobSet, String> {
    let mut set = GlobSetBuilder::new();
    for text in texts {
        set.add(Glob::new(text).map_err(|error| format!("the pattern {text:?} cannot be read: {error}"))?);
    }
    set.build().map_err(|error| error.to_string())
}
