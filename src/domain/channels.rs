//! Channels: chats and other programs that are told what happens. Which kinds there are, what they may be told, and which
//! addresses they may have.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::approval::named;
use super::hosts::{self, HostPattern};
use super::notices;

named!(
    /// What is at the other end.
    Kind {
        /// An incoming webhook of a chat at Slack.
        Slack = "slack",
        /// A workflow of a chat at Microsoft Teams, begun by a webhook.
        Teams = "teams",
        /// A program.
        Webhook = "webhook",
    }
);

/// Where Slack has its incoming webhooks.
const SLACK: &[&str] = &["hooks.slack.com", "hooks.slack-gov.com"];
/// Where Teams has its workflows, and had its connectors.
const TEAMS: &[&str] = &["*.environment.api.powerplatform.com", "*.logic.azure.com", "*.webhook.office.com"];
/// The longest address.
const LONGEST: usize = 2000;

impl Kind {
    /// Whether people read it: what comes together is then one message.
    #[must_use]
    pub fn is_chat(self) -> bool {
        self != Self::Webhook
    }

    /// The kind in words.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Slack => "Slack",
            Self::Teams => "Microsoft Teams",
            Self::Webhook => "Webhook",
        }
    }

    /// Hosts that it may have in any case.
    #[must_use]
    pub fn hosts(self) -> &'static [&'static str] {
        match self {
            Self::Slack => SLACK,
            Self::Teams => TEAMS,
            Self::Webhook => &[],
        }
    }
}

/// What a channel is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Tells {
    pub waiting: bool,
    /// Half of the time is over, an hour is left, nobody decides.
    pub reminders: bool,
    /// Decided, expired, superseded, stopped or gone.
    pub ends: bool,
    /// Sources that cannot be read, and can be again.
    pub blind: bool,
}

impl Tells {
    #[must_use]
    pub fn tells(self, kind: notices::Kind) -> bool {
        match kind {
            notices::Kind::Waiting => self.waiting,
            notices::Kind::HalfTime | notices::Kind::Escalated | notices::Kind::LastHour => self.reminders,
            notices::Kind::Decided | notices::Kind::Expired | notices::Kind::Ended => self.ends,
            notices::Kind::Blind | notices::Kind::Seen => self.blind,
        }
    }

    #[must_use]
    pub fn is_nothing(self) -> bool {
        !(self.waiting || self.reminders || self.ends || self.blind)
    }
}

/// Where a channel leads. Whoever knows it may write there, so it is a secret: it shows its host and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(Url);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.host())
    }
}

impl Address {
    /// `listed` are the hosts that the operator lists.
    ///
    /// # Errors
    /// What is wrong with it, and what would not be; never with more of it than its host.
    pub fn parse(text: &str, kind: Kind, listed: &[HostPattern]) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() {
            return Err("Paste the address that it is told at.".to_owned());
        }
        if text.len() > LONGEST {
            return Err(format!("An address has at most {LONGEST} characters."));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\') {
            return Err("An address has no spaces and no backslashes. Was more than the address copied?".to_owned());
        }
        let url = Url::parse(text).map_err(|_| "This is no address. It begins with https://".to_owned())?;
        if url.scheme() != "https" {
            return Err("Only addresses that begin with https:// can be told anything.".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("An address with a user or a password in it cannot be told anything.".to_owned());
        }
        if url.port().is_some() {
            return Err("An address with a port in it cannot be told anything: https has its own.".to_owned());
        }
        if url.fragment().is_some() {
            return Err("What comes after # is never sent. Was more than the address copied?".to_owned());
        }
        let Some(Host::Domain(host)) = url.host() else {
            return Err("An address has the name of a host, not its number.".to_owned());
        };
        let is_listed =
            kind.hosts().iter().any(|known| hosts::fits(known, host)) || listed.iter().any(|known| known.fits(host));
        if !is_listed {
            return Err(not_listed(host, kind));
        }
        Ok(Self(url))
    }

    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// All of it, for sealing and sending.
    #[must_use]
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

fn not_listed(host: &str, kind: Kind) -> String {
    let shown: String = host.chars().take(253).collect();
    match kind {
        Kind::Slack => {
            format!("{shown} is not Slack's. An incoming webhook of Slack's begins with https://hooks.slack.com/")
        }
        Kind::Teams => format!(
            "{shown} is not where Teams has its workflows. In Teams, make one from the template that posts to a channel when a \
             webhook request is received, and copy its address."
        ),
        Kind::Webhook => format!("{shown} is not listed. The operator lists hosts that may be told: channels.hosts"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, kind: Kind) -> Result<Address, String> {
        let hosts = ["hooks.example.com", "*.example.org"].map(|host| HostPattern::try_from(host.to_owned()).unwrap());
        Address::parse(text, kind, &hosts)
    }

    #[test]
    fn only_listed_hosts_by_https_are_told_anything() {
        // U-13
        for (text, kind) in [
            ("https://hooks.slack.com/services/T0/B0/x", Kind::Slack),
            ("https://prod-01.westeurope.logic.azure.com:443/workflows/1?sig=s", Kind::Teams),
            ("https://a.b.environment.api.powerplatform.com/powerautomate/1?sig=s", Kind::Teams),
            ("https://hooks.example.com/x", Kind::Webhook),
            ("https://HOOKS.example.com/x", Kind::Webhook),
            ("https://a.example.org/x", Kind::Slack),
        ] {
            assert!(parse(text, kind).is_ok(), "{text}: {:?}", parse(text, kind));
        }
        for text in [
            "",
            "hooks.example.com",
            "http://hooks.example.com/x",
            "https://hooks.example.com:8443/x",
            "https://user@hooks.example.com/x",
            "https://hooks.example.com@evil.example/x",
            "https://hooks.example.com./x",
            "https://hooks.example.com.evil.example/x",
            "https://evilexample.org/x",
            "https://example.org/x",
            "https://.example.org/x",
            "https://hooks.example.com\\@evil.example/x",
            "https://127.0.0.1/x",
            "https://0x7f.1/x",
            "https://[::1]/x",
            "https://localhost/x",
            "https://hooks.slack.com/services/T0/B0/x",
            "https://hooks.example.com/x#y",
            "file:///etc/passwd",
        ] {
            assert!(parse(text, Kind::Webhook).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_shows_its_host_alone() {
        let address = parse("https://hooks.slack.com/services/T0/B0/hunter2", Kind::Slack).unwrap();
        assert_eq!(format!("{address:?}"), "Address(hooks.slack.com)");
        for bad in
            ["https://evil.example/hunter2", "https://hooks.slack.com:1/hunter2", "http://hooks.slack.com/hunter2"]
        {
            assert!(!parse(bad, Kind::Slack).unwrap_err().contains("hunter2"));
        }
    }
}
