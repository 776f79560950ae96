//! Where a request comes from (S-14): the connection's address, unless that is a trusted proxy; then the right-most
//! entry of `X-Forwarded-For` that is not one. What a client writes to the left of that is never believed.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::Request;
use axum::http::{Extensions, HeaderMap};
use axum::middleware::Next;
use axum::response::Response;
use ipnet::IpNet;

/// The other end of the connection. Put into each request by the accept loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The client's address, for limits and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client(pub IpAddr);

impl Client {
    /// The address of the request with these extensions.
    #[must_use]
    pub fn of(extensions: &Extensions) -> IpAddr {
        extensions.get::<Self>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |client| client.0)
    }

    /// Works the client's address out.
    #[must_use]
    pub fn find(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
        let mut at = peer.to_canonical();
        if !is_trusted(at) {
            return Self(at);
        }
        let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|v| v.to_str().ok()).collect();
        for entry in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
            // Something that is no address was not written by a proxy of ours: the last hop we know stands.
            let Some(address) = parse(entry) else { break };
            at = address;
            if !is_trusted(at) {
                break;
            }
        }
        Self(at)
    }
}

/// An address, perhaps with a port, as proxies write it.
fn parse(entry: &str) -> Option<IpAddr> {
    let entry = entry.trim();
    let address = entry.parse::<IpAddr>().ok();
    let with_port = || entry.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    let bracketed = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    address.or_else(with_port).or_else(bracketed).map(|address| address.to_canonical())
}

/// A router that is called without a connection (in a unit test) has no peer; everything inside may rely on one.
pub async fn never_missing(mut request: Request, next: Next) -> Response {
    if request.extensions().get::<Peer>().is_none() {
        request.extensions_mut().insert(Peer(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn find(peer: &str, forwarded: &[&'static str], trusted: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", HeaderValue::from_static(line));
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Client::find(peer.parse().unwrap(), &headers, &trusted).0.to_string()
    }

    #[test]
    fn a_forged_header_from_outside_changes_nothing() {
        assert_eq!(find("198.51.100.7", &["203.0.113.9"], &["10.0.0.0/8"]), "198.51.100.7");
        assert_eq!(find("198.51.100.7", &["203.0.113.9"], &[]), "198.51.100.7");
    }

    #[test]
    fn behind_proxies_the_right_most_stranger_is_the_client() {
        let trusted = ["10.0.0.0/8", "::1/128"];
        assert_eq!(find("10.0.0.1", &["192.0.2.66, 203.0.113.9, 10.0.0.2"], &trusted), "203.0.113.9");
        assert_eq!(find("10.0.0.1", &["192.0.2.66", "203.0.113.9"], &trusted), "203.0.113.9");
        assert_eq!(find("::ffff:10.0.0.1", &["[2001:db8::1]:4711"], &trusted), "2001:db8::1");
        assert_eq!(find("10.0.0.1", &["203.0.113.9:80"], &trusted), "203.0.113.9");
    }

    #[test]
    fn nonsense_from_a_proxy_leaves_the_last_known_hop() {
        assert_eq!(find("10.0.0.1", &["192.0.2.1, unknown"], &["10.0.0.0/8"]), "10.0.0.1");
        assert_eq!(find("10.0.0.1", &[], &["10.0.0.0/8"]), "10.0.0.1");
    }
}
