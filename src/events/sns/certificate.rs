//! The certificates that SNS signs with: where they may come from, whether one is SNS's, and whether it signed a text.
//!
//! A chain must lead to a root that Mozilla's program publishes, as the program is built with it, and not to one that merely
//! this machine trusts: what inspects TLS for an organisation can pass every certificate on, and can make none of SNS's. SNS
//! publishes its own certificate alone, so the ones in between are here (`amazon.pem`); they vouch for nothing by themselves, and
//! the operator can add some (`hooks.sns_intermediates_file`). Revocation is not asked about.

use std::time::Duration;

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
};
use jiff::Timestamp;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage};

use crate::domain::topics::TopicArn;

/// What Amazon issues SNS's certificates by (<https://www.amazontrust.com/repository/>).
const AMAZON: &[u8] = include_bytes!("amazon.pem");
/// SNS's own, and those that somebody may one day put behind it.
const LONGEST_CHAIN: usize = 5;
/// Hexadecimal digits in a certificate's name. There are 32.
const LONGEST_NAME: usize = 64;

/// The address of a certificate, where SNS has those of the topic's region and nowhere else: https, that very host, no user, no
/// port, no query, and the one form of path that they have. A bucket may be called `sns`, and `sns.s3.amazonaws.com` is no SNS.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address(String);

impl Address {
    pub(super) fn of(topic: &TopicArn, text: &str) -> Option<Self> {
        let path = text.strip_prefix("https://")?.strip_prefix(&topic.host())?;
        let name = path.strip_prefix("/SimpleNotificationService-")?.strip_suffix(".pem")?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let fits = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(is_hex);
        fits.then(|| Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whom a certificate must come from, and how it is fetched. What serves is [`Trust::public`]; tests hand in their own.
#[derive(Debug)]
pub struct Trust {
    pub roots: Vec<TrustAnchor<'static>>,
    /// Between SNS's certificates and the roots.
    pub intermediates: Vec<CertificateDer<'static>>,
    pub http: reqwest::ClientBuilder,
}

impl Trust {
    /// The public roots, and what is known to stand before them; `more` is PEM.
    ///
    /// # Errors
    /// `more` cannot be read.
    pub fn public(more: &[u8]) -> Result<Self, String> {
        let read = |pem| CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
        let mut intermediates = read(AMAZON).expect("the certificates the program is built with can be read");
        let more = read(more).map_err(|error| format!("hooks.sns_intermediates_file cannot be read: {error}"))?;
        if let Some(at) = more.iter().position(|der| EndEntityCert::try_from(der).is_err()) {
            return Err(format!("the {}. certificate of hooks.sns_intermediates_file is none", at + 1));
        }
        intermediates.extend(more);
        Ok(Self { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(), intermediates, http: reqwest::Client::builder() })
    }
}

/// A certificate as it was fetched, with whatever came behind it. Nothing is believed of it yet.
#[derive(Debug)]
pub(super) struct Chain(Vec<CertificateDer<'static>>);

/// The key of a certificate that was found to be SNS's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key(Vec<u8>);

/// How a text is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// Version 1.
    Sha1,
    /// Version 2.
    Sha256,
}

impl Chain {
    pub(super) fn read(pem: &[u8]) -> Option<Self> {
        let mut chain = Vec::new();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            chain.push(certificate.ok()?);
            if chain.len() > LONGEST_CHAIN {
                return None;
            }
        }
        (!chain.is_empty()).then_some(Self(chain))
    }

    /// The certificate's key, if it is SNS's for this topic, now.
    pub(super) fn judge(
        &self,
        (roots, intermediates): (&[TrustAnchor<'static>], &[CertificateDer<'static>]),
        topic: &TopicArn,
        now: Timestamp,
    ) -> Option<Key> {
        let (own, behind) = self.0.split_first()?;
        let between: Vec<_> = behind.iter().chain(intermediates).cloned().collect();
        let time = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.as_second()).ok()?));
        let own = EndEntityCert::try_from(own).ok()?;
        let usage = KeyUsage::server_auth();
        own.verify_for_usage(ALL_VERIFICATION_ALGS, roots, &between, time, usage, None, None).ok()?;
        let names = topic.signing_names();
        // To the letter: what is called `*.amazonaws.com` is whoever's at AWS.
        let is_sns = own.valid_dns_names().any(|name| names.iter().any(|it| it.eq_ignore_ascii_case(name)));
        is_sns.then(|| Key(own.subject_public_key_info().to_vec()))
    }
}

impl Key {
    /// Whether this key signed the text. RSA with PKCS #1 v1.5 and at least 2048 bits, and nothing else.
    pub(super) fn has_signed(&self, text: &str, algorithm: Algorithm, signature: &[u8]) -> bool {
        let algorithm = match algorithm {
            Algorithm::Sha1 => &RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha256 => &RSA_PKCS1_2048_8192_SHA256,
        };
        UnparsedPublicKey::new(algorithm, &self.0).verify(text.as_bytes(), signature).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_operator_adds_is_beside_what_is_known_and_must_be_certificates() {
        let count = |more: &[u8]| Trust::public(more).map(|trust| trust.intermediates.len());
        assert_eq!(count(b""), Ok(4));
        assert_eq!(count(AMAZON), Ok(8));
        let none = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(count(none).unwrap_err().contains("the 1. certificate of hooks.sns_intermediates_file is none"));
        let broken = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        assert!(count(broken).unwrap_err().contains("hooks.sns_intermediates_file"));
    }

    #[test]
    fn what_is_known_is_what_amazon_publishes() {
        // By the fingerprints in the file, which are those of the repository.
        let text = std::str::from_utf8(AMAZON).unwrap();
        let published: Vec<_> = text.lines().filter_map(|line| line.split_once(", SHA-256 ")).map(|it| it.1).collect();
        let trust = Trust::public(b"").unwrap();
        let ours = trust.intermediates.iter().map(|der| hex::encode_upper(crate::domain::ids::sha256(der)));
        assert_eq!(ours.collect::<Vec<_>>(), published.iter().map(|text| text.replace(':', "")).collect::<Vec<_>>());
    }
}
