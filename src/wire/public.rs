//! Which addresses are the internet's, and a resolver that gives no others. One that is not among them may be this machine, the
//! network it stands in, or where a cloud hands out credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Has names looked up, once for each connection, and gives nothing at all where one of the addresses is not public. What was
/// judged is what is connected to: nobody looks the name up again.
pub(super) struct PublicOnly {
    pub names: Arc<dyn Resolve>,
}

/// Names as this machine knows them.
pub(super) struct Machine;

impl Resolve for Machine {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the host's name leads to an address that is not public")]
struct NotPublic;

#[derive(Debug, thiserror::Error)]
#[error("the host's name leads nowhere")]
struct Nowhere;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.names.resolve(name);
        Box::pin(async move {
            let found: Vec<SocketAddr> = found.await?.collect();
            if found.is_empty() {
                return Err(Nowhere.into());
            }
            if !found.iter().all(|address| is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the internet's (IANA's registries of special-purpose addresses).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        // This network, private ones, loopback, link-local (where clouds keep their metadata), multicast and what is reserved.
        (0 | 10 | 127 | 224.., ..) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => false,
        // Shared by providers; protocols; 6to4's relays; measuring; documentation.
        (100, 64..=127, _) | (192, 0, 0 | 2) | (192, 88, 99) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => {
            false
        }
        _ => true,
    }
}

/// Only what is given out (2000::/3), without what carries another address inside or is for documentation. NAT64 carries an IPv4
/// address for machines that have none: that one is judged.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    if parts[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d));
    }
    match parts {
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [first, ..] => (0x2000..=0x3fff).contains(&first),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_is_not_the_internets_is_no_public_address_however_it_is_written() {
        // U-13
        let inside = [
            "0.0.0.0",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:169.254.169.254",
            "::8.8.8.8",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::808:808",
            "100::1",
        ];
        for address in inside {
            assert!(!is_public(address.parse().unwrap()), "{address}");
        }
        for address in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::808:808"] {
            assert!(is_public(address.parse().unwrap()), "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_leads_nowhere() {
        // Known without asking anybody.
        let name: Name = "localhost".parse().unwrap();
        let resolver = PublicOnly { names: Arc::new(Machine) };
        let Err(error) = resolver.resolve(name).await else { panic!("localhost is public") };
        assert!(error.to_string().contains("not public"), "{error}");
    }

    /// A name server of somebody's own: each time it is asked, the next answer.
    struct Changing(Mutex<Vec<Vec<&'static str>>>);

    impl Resolve for Changing {
        fn resolve(&self, _name: Name) -> Resolving {
            let found = self.0.lock().unwrap().remove(0);
            let found: Vec<SocketAddr> = found.iter().map(|ip| (ip.parse::<IpAddr>().unwrap(), 0).into()).collect();
            Box::pin(async move { Ok(Box::new(found.into_iter()) as Addrs) })
        }
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_is_connected_to_each_time_it_is_looked_up() {
        // U-13: first an address of the internet, then one inside; one of each; one inside another.
        let answers = [
            vec!["8.8.8.8", "2606:4700::1111"],
            vec!["10.0.0.1"],
            vec!["8.8.8.8", "169.254.169.254"],
            vec!["::ffff:127.0.0.1"],
            vec![],
        ];
        let names = Arc::new(Changing(Mutex::new(answers.to_vec())));
        let resolver = PublicOnly { names: Arc::clone(&names) as Arc<dyn Resolve> };
        let name = || "hooks.example.com".parse::<Name>().unwrap();
        let Ok(found) = resolver.resolve(name()).await else { panic!("the internet is public") };
        assert_eq!(found.map(|it| it.ip().to_string()).collect::<Vec<_>>(), answers[0]);
        assert_eq!(names.0.lock().unwrap().len(), 4, "looked up once");
        for _ in 1..answers.len() {
            assert!(resolver.resolve(name()).await.is_err());
        }
    }
}
