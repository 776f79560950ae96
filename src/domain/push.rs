//! Browsers that can be told something: what one says of itself when it is turned on, and which hosts it may be reached at.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::hosts::HostPattern;
use super::ids::sha256;

/// Where the makers of browsers have their push services.
pub const KNOWN_SERVICES: &[&str] = &[
    "fcm.googleapis.com",
    "updates.push.services.mozilla.com",
    "*.notify.windows.com",
    "web.push.apple.com",
    "*.push.apple.com",
];
/// The longest address. Those of today have a few hundred characters.
const LONGEST: usize = 2000;

/// Those of [`KNOWN_SERVICES`].
#[must_use]
pub fn known_services() -> Vec<HostPattern> {
    let known = KNOWN_SERVICES.iter().filter_map(|name| HostPattern::try_from((*name).to_owned()).ok());
    known.collect()
}

/// Why a browser cannot be told anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSubscription {
    #[error("what this browser says of where it is reached is no address of a push service")]
    Address,
    #[error("this browser is reached by a push service that this portal does not use; your operator can allow it")]
    Service,
    #[error("this browser's keys are none that anything can be encrypted with")]
    Keys,
}

/// Where a browser is reached, and what is encrypted for it. Whoever knows all of it may write there: it prints nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    address: Url,
    key: Vec<u8>,
    secret: Vec<u8>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subscription({})", self.host())
    }
}

impl Subscription {
    /// What a browser says: where it is reached, and its keys in base64url (RFC 8291).
    ///
    /// # Errors
    /// [`BadSubscription`].
    pub fn parse(
        (address, key, secret): (&str, &str, &str),
        services: &[HostPattern],
    ) -> Result<Self, BadSubscription> {
        if address.len() > LONGEST || !address.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
            return Err(BadSubscription::Address);
        }
        let address = Url::parse(address).map_err(|_| BadSubscription::Address)?;
        let subscription = Self {
            address,
            key: decode(key).filter(|key| key.len() == 65 && key[0] == 4).ok_or(BadSubscription::Keys)?,
            secret: decode(secret).filter(|secret| secret.len() == 16).ok_or(BadSubscription::Keys)?,
        };
        subscription.check(services)?;
        Ok(subscription)
    }

    /// Whether it may be reached where it says. Looked at again before each message: the operator may have taken a host away.
    ///
    /// # Errors
    /// [`BadSubscription`].
    pub fn check(&self, services: &[HostPattern]) -> Result<(), BadSubscription> {
        let url = &self.address;
        let is_plain = url.scheme() == "https"
            && url.port().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        match url.host() {
            Some(Host::Domain(host)) if is_plain => match services.iter().any(|service| service.fits(host)) {
                true => Ok(()),
                false => Err(BadSubscription::Service),
            },
            _ => Err(BadSubscription::Address),
        }
    }

    /// Where messages go. Never into a log or onto a page.
    #[must_use]
    pub fn address(&self) -> &Url {
        &self.address
    }

    #[must_use]
    pub fn host(&self) -> &str {
        self.address.host_str().unwrap_or_default()
    }

    /// What it is found by.
    #[must_use]
    pub fn address_hash(&self) -> [u8; 32] {
        sha256(self.address.as_str().as_bytes())
    }

    /// The browser's public key, an uncompressed point of P-256.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What only the browser and the portal know.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

/// Browsers write it without padding; what stands between may not.
fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const SECRET: &str = "BTBZMqHH6r4Tts7J_aSIgg";

    fn parse(address: &str) -> Result<Subscription, BadSubscription> {
        Subscription::parse((address, KEY, SECRET), &known_services())
    }

    #[test]
    fn the_services_of_browsers_are_taken() {
        for address in [
            "https://fcm.googleapis.com/fcm/send/abc:def",
            "https://updates.push.services.mozilla.com/wpush/v2/gAAAA",
            "https://wns2-par02p.notify.windows.com/w/?token=BQYAAA%3d",
            "https://web.push.apple.com/QGu",
            "https://api.push.apple.com/x",
            "https://FCM.googleapis.com:443/x",
        ] {
            assert!(parse(address).is_ok(), "{address}");
        }
    }

    #[test]
    fn an_address_that_leads_elsewhere_is_refused_however_it_is_written() {
        // U-13
        for address in [
            "",
            "fcm.googleapis.com/x",
            "http://fcm.googleapis.com/x",
            "https://fcm.googleapis.com:8443/x",
            "https://fcm.googleapis.com@evil.example/x",
            "https://user@fcm.googleapis.com/x",
            "https://fcm.googleapis.com.evil.example/x",
            "https://evil.example/fcm.googleapis.com",
            "https://evil.example#fcm.googleapis.com",
            "https://fcm.googleapis.com/x#y",
            "https://xfcm.googleapis.com/x",
            "https://notify.windows.com/x",
            "https://evilnotify.windows.com/x",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/x",
            "https://localhost/x",
            "https://2130706433/x",
            "https://fcm.googleapis.com\\@evil.example/x",
            "https://fcm.googleapis.com /x",
            "https://fcm.googleapis.com/\r\nx: y",
            "file:///etc/passwd",
        ] {
            assert!(parse(address).is_err(), "{address}");
        }
        assert!(parse(&format!("https://fcm.googleapis.com/{}", "a".repeat(2000))).is_err());
    }

    #[test]
    fn keys_have_the_form_of_keys() {
        let with = |key: &str, secret: &str| {
            Subscription::parse(("https://web.push.apple.com/x", key, secret), &known_services())
        };
        assert!(with(KEY, SECRET).is_ok() && with(KEY, &format!("{SECRET}==")).is_ok());
        for (key, secret) in [("", SECRET), (KEY, ""), (SECRET, SECRET), (KEY, KEY), ("!", SECRET)] {
            assert_eq!(with(key, secret), Err(BadSubscription::Keys));
        }
    }

    #[test]
    fn all_services_that_are_known_are_hosts() {
        assert_eq!(known_services().len(), KNOWN_SERVICES.len());
    }
    #[test]
    fn where_it_is_reached_is_never_printed() {
        let said = format!("{:?}", parse("https://web.push.apple.com/secret").unwrap());
        assert_eq!(said, "Subscription(web.push.apple.com)");
    }
}
