//! What this machine itself is called. Where it is asked for something, nothing leaves it, so encryption adds nothing.

use std::net::IpAddr;

use url::Url;

/// Whether an address names this machine itself. A name that only resolves to it does not count.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    // Only of schemes that it knows does a URL hold its host in lower case.
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback_whatever_the_scheme() {
        for scheme in ["http", "https", "smtp"] {
            for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "[::1]"] {
                let url = format!("{scheme}://{host}:1025/path");
                assert!(is_loopback(&Url::parse(&url).unwrap()), "{url}");
            }
            for host in ["localhost.example", "a.localhost", "10.0.0.1", "0.0.0.0", "[::2]", "127.0.0.1.example"] {
                let url = format!("{scheme}://{host}:1025/path");
                assert!(!is_loopback(&Url::parse(&url).unwrap()), "{url}");
            }
        }
        assert!(!is_loopback(&Url::parse("mailto:a@localhost").unwrap()));
    }
}
