//! Certificates and signatures as SNS makes them, by an authority of the test's own.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKey, KeySize};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    PKCS_RSA_SHA256, PublicKeyData,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, TrustAnchor};
use serde_json::Value;

/// Making an RSA key takes a moment.
static SNS: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::generate(KeySize::Rsa2048).unwrap());
static SOMEBODY: LazyLock<RsaKey> = LazyLock::new(|| RsaKey::generate(KeySize::Rsa2048).unwrap());

/// Issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: Certificate,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    /// One that this one vouches for.
    pub fn between(&self, name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self { issuer: Issuer::new(params, key), certificate }
    }

    pub fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub fn anchor(&self) -> TrustAnchor<'static> {
        webpki::anchor_from_trusted_cert(self.certificate.der()).unwrap().to_owned()
    }

    pub fn issue(&self, key: &impl PublicKeyData, params: &CertificateParams) -> Certificate {
        params.signed_by(key, &self.issuer).unwrap()
    }

    /// A certificate such as SNS's.
    pub fn issue_pem(&self, signer: &Signer, params: &CertificateParams) -> String {
        self.issue(&signer.key(), params).pem()
    }
}

/// As public authorities write them for SNS.
pub fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// Whoever has a key that messages are signed with.
#[derive(Clone, Copy)]
pub struct Signer(&'static RsaKey);

impl Signer {
    pub fn sns() -> Self {
        Self(&SNS)
    }

    pub fn somebody() -> Self {
        Self(&SOMEBODY)
    }

    pub fn key(self) -> KeyPair {
        let der = self.0.as_der().unwrap();
        let der = PrivatePkcs8KeyDer::from(der.as_ref().to_vec());
        KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_RSA_SHA256).unwrap()
    }

    /// Signs what is in the envelope, as it is.
    pub fn sign(self, envelope: &mut Value) {
        let text = signed_text(envelope);
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).unwrap();
        envelope["Signature"] = STANDARD.encode(signature).into();
    }
}

/// Written from SNS's documentation, apart from the portal's own.
fn signed_text(envelope: &Value) -> String {
    let names: &[&str] = if envelope["Type"] == "Notification" {
        &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"]
    } else {
        &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
    };
    names.iter().filter_map(|name| Some(format!("{name}\n{}\n", envelope[name].as_str()?))).collect()
}
