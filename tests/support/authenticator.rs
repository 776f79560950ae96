//! What people hold in their hands: an authenticator app, and a key that keeps passkeys. The key is software that builds
//! every answer byte by byte, so that a story can also have it lie.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::domain::ids::sha256;
use jiff::Timestamp;
use serde_json::{Value, json};
use totp_rs::{Builder, Secret, Totp};

/// An authenticator app.
pub struct App(Totp);

impl App {
    /// Told the key as the page shows it, in groups of letters and digits.
    pub fn told(text: &str) -> Self {
        let key: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let secret = Secret::try_from_base32(key.to_uppercase()).expect("the key is base 32");
        assert_eq!(secret.as_bytes().len(), 20, "160 bits");
        Self(Builder::new().with_secret(secret).build().unwrap())
    }

    pub fn code(&self, at: Timestamp) -> String {
        self.0.generate(u64::try_from(at.as_second()).unwrap()).to_string()
    }

    /// Six digits that it does not show within a minute of this time.
    pub fn wrong_code(&self, at: Timestamp) -> String {
        let near: Vec<String> =
            (-2..=2).map(|steps| self.code(at + jiff::SignedDuration::from_secs(30 * steps))).collect();
        (0..10).map(|n| format!("00000{n}")).find(|code| !near.contains(code)).unwrap()
    }
}

/// A key with one passkey on it.
pub struct Authenticator {
    key: EcdsaKeyPair,
    pub credential_id: Vec<u8>,
    user: Vec<u8>,
    pub counter: u32,
    /// What the browser says it was asked at.
    pub origin: String,
    pub rp_id: String,
    /// What the browser says it was asked for.
    pub kind: &'static str,
    pub present: bool,
    pub verified: bool,
    pub cross_origin: bool,
}

impl Authenticator {
    /// Makes a passkey as it is asked to, in a browser at `origin`. Also the browser's answer.
    pub fn make(origin: &str, options: &Value) -> (Self, String) {
        let options = &options["publicKey"];
        assert_eq!(options["authenticatorSelection"]["userVerification"], "required");
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let mut credential_id = vec![0; 32];
        aws_lc_rs::rand::fill(&mut credential_id).unwrap();
        let made = Self {
            key,
            credential_id,
            user: bytes(&options["user"]["id"]),
            counter: 0,
            origin: origin.to_owned(),
            rp_id: options["rp"]["id"].as_str().unwrap().to_owned(),
            kind: "webauthn.get",
            present: true,
            verified: true,
            cross_origin: false,
        };
        let answer = made.answer_to_make(&options["challenge"]);
        (made, answer)
    }

    /// Lies no more, in a browser at `origin`.
    pub fn honest(&mut self, origin: String, rp_id: String) {
        (self.origin, self.rp_id, self.kind) = (origin, rp_id, "webauthn.get");
        (self.present, self.verified, self.cross_origin) = (true, true, false);
    }

    /// The answer to the question that made it, as this authenticator is now.
    pub fn answer_to_make(&self, challenge: &Value) -> String {
        let client = self.client_data("webauthn.create", challenge.as_str().unwrap());
        let mut data = self.authenticator_data(0x40);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.credential_id);
        data.extend_from_slice(&self.cose_key());
        // {"fmt": "none", "attStmt": {}, "authData": h'…'}
        let mut object = b"\xa3\x63fmt\x64none\x67attStmt\xa0\x68authData\x58".to_vec();
        object.push(u8::try_from(data.len()).unwrap());
        object.extend_from_slice(&data);
        let response =
            json!({ "clientDataJSON": text(&client), "attestationObject": text(&object), "transports": ["usb"] });
        self.answer(&response)
    }

    /// Proves who holds it, as it is asked to. The counter goes on unless it is 0.
    pub fn prove(&mut self, options: &Value) -> String {
        let options = &options["publicKey"];
        assert_eq!(options["userVerification"], "required");
        if let Some(allowed) = options["allowCredentials"].as_array().filter(|allowed| !allowed.is_empty()) {
            let ours = text(&self.credential_id);
            assert!(allowed.iter().any(|one| one["id"] == ours.as_str()), "another passkey is asked for");
        }
        self.prove_anyhow(&options["challenge"])
    }

    /// The same without looking at what is asked.
    pub fn prove_anyhow(&mut self, challenge: &Value) -> String {
        if self.counter > 0 {
            self.counter += 1;
        }
        let client = self.client_data(self.kind, challenge.as_str().unwrap());
        let data = self.authenticator_data(0);
        let signed = [&data[..], &sha256(&client)].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        self.answer(&json!({
            "clientDataJSON": text(&client), "authenticatorData": text(&data), "signature": text(signature.as_ref()),
            "userHandle": text(&self.user),
        }))
    }

    fn answer(&self, response: &Value) -> String {
        let id = text(&self.credential_id);
        json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {} })
            .to_string()
    }

    fn client_data(&self, kind: &str, challenge: &str) -> Vec<u8> {
        let client =
            json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": self.cross_origin });
        client.to_string().into_bytes()
    }

    fn authenticator_data(&self, more_flags: u8) -> Vec<u8> {
        let mut data = sha256(self.rp_id.as_bytes()).to_vec();
        data.push(u8::from(self.present) | u8::from(self.verified) << 2 | more_flags);
        data.extend_from_slice(&self.counter.to_be_bytes());
        data
    }

    /// {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}
    fn cose_key(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let mut key = b"\xa5\x01\x02\x03\x26\x20\x01\x21\x58\x20".to_vec();
        key.extend_from_slice(&point[1..33]);
        key.extend_from_slice(b"\x22\x58\x20");
        key.extend_from_slice(&point[33..65]);
        key
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn bytes(text: &Value) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap()
}
