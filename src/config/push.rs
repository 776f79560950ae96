//! Whether browsers are told what waits, and by which push services.

use serde::{Deserialize, Deserializer};
use url::Url;

use super::hosts;
use crate::domain::hosts::HostPattern;
use crate::domain::push::known_services;

const EXAMPLE: &str = "mailto:operator@example.com";
const LONGEST_CONTACT: usize = 200;

/// `[push]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PushConfig {
    /// Whether people may turn it on in their browsers. `COUNTERSIGN_PUSH_ENABLED`.
    pub enabled: bool,
    /// Whom a push service may turn to when something is wrong: a `mailto:` or `https:` address. Required to turn it on.
    /// `COUNTERSIGN_PUSH_CONTACT`.
    pub contact: Option<String>,
    /// Hosts that browsers may be reached at. Default: those of the browsers' makers. `COUNTERSIGN_PUSH_SERVICES`.
    #[serde(deserialize_with = "listed")]
    pub services: Vec<HostPattern>,
}

fn listed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HostPattern>, D::Error> {
    hosts::read("push.services", deserializer)
}

impl Default for PushConfig {
    fn default() -> Self {
        Self { enabled: false, contact: None, services: known_services() }
    }
}

impl PushConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        match &self.contact {
            Some(contact) if !is_contact(contact) => {
                return Err(format!(
                    "push.contact = {contact:?} is no mailto: or https: address, for example contact = {EXAMPLE:?}"
                ));
            }
            None if self.enabled => {
                return Err(format!(
                    "push.enabled needs push.contact: whom a push service may turn to, for example contact = {EXAMPLE:?}"
                ));
            }
            _ => {}
        }
        if self.enabled && self.services.is_empty() {
            return Err("push.services is empty, so no browser can be reached; leave it out for the known ones".into());
        }
        hosts::check("push.services", &self.services)
    }

    /// Whom push services may turn to, if it is on.
    #[must_use]
    pub fn contact(&self) -> Option<&str> {
        self.contact.as_deref().filter(|_| self.enabled)
    }
}

/// RFC 8292, section 2.1.
fn is_contact(contact: &str) -> bool {
    let is_plain = contact.len() <= LONGEST_CONTACT && contact.bytes().all(|b| b.is_ascii_graphic());
    let Some(url) = Url::parse(contact).ok().filter(|_| is_plain) else { return false };
    match url.scheme() {
        "mailto" => url.path().split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.contains('.')),
        "https" => url.host_str().is_some() && url.username().is_empty() && url.password().is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(contact: Option<&str>) -> PushConfig {
        PushConfig { enabled: true, contact: contact.map(str::to_owned), ..PushConfig::default() }
    }

    #[test]
    fn it_is_off_and_the_known_services_are_named() {
        let config = PushConfig::default();
        assert!(!config.enabled && config.contact().is_none() && config.check().is_ok());
        assert!(config.services.iter().any(|service| service.fits("fcm.googleapis.com")));
    }

    #[test]
    fn who_turns_it_on_says_whom_to_turn_to() {
        for good in ["mailto:ops@example.com", "https://example.com/contact"] {
            assert_eq!(on(Some(good)).check(), Ok(()), "{good}");
        }
        for bad in [
            "",
            "ops@example.com",
            "mailto:",
            "mailto:ops",
            "http://example.com",
            "https://u:p@example.com",
            "mailto:a b@c.de",
        ] {
            let said = on(Some(bad)).check().unwrap_err();
            assert!(said.contains("push.contact") && said.contains(EXAMPLE), "{said}");
        }
        let said = on(None).check().unwrap_err();
        assert!(said.contains("push.enabled") && said.contains("push.contact"), "{said}");
        let said = PushConfig { services: Vec::new(), ..on(Some(EXAMPLE)) }.check().unwrap_err();
        assert!(said.contains("push.services"), "{said}");
    }
}
