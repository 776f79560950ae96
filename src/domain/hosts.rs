//! The hosts that an operator lets the portal reach: names, or everything below one.

use std::fmt;

use serde::Deserialize;

/// A host, or `*.` and a name for everything below it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct HostPattern(String);

impl HostPattern {
    #[must_use]
    pub fn fits(&self, host: &str) -> bool {
        fits(&self.0, host)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.strip_prefix("*.").unwrap_or(&text);
        let is_name = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        // The last label of a name has a letter; an address has none.
        let is_host = text.len() <= 253
            && name.split('.').count() >= 2
            && name.split('.').all(is_name)
            && name.rsplit('.').next().is_some_and(|last| last.bytes().any(|b| b.is_ascii_lowercase()));
        if !is_host {
            return Err(format!(
                "{text:?} is no host; write a name such as \"hooks.example.com\", or \"*.example.com\" for \
                 everything below it, in lower case and without a port"
            ));
        }
        Ok(Self(text))
    }
}

/// Whether a host is one of those that the pattern means.
pub(super) fn fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(rest) => {
            host.strip_suffix(rest).and_then(|front| front.strip_suffix('.')).is_some_and(|front| !front.is_empty())
        }
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_of_hosts_is_a_name_or_what_is_below_one() {
        for good in ["hooks.example.com", "*.example.com", "a-1.b2.xn--p1ai"] {
            assert!(HostPattern::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for bad in
            ["", "*", "*.com", "com", "localhost", "*.*.com", "a*.example.com", "https://a.example", "A.example.com"]
        {
            assert!(HostPattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        for bad in ["127.0.0.1", "a.example.com:443", "a..example.com", "-a.example.com", "a.example.com."] {
            assert!(HostPattern::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
