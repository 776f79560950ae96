//! An identity provider that can be told to do anything wrong. Left alone it is a good one: it checks the portal's secret,
//! its redirect address and its proof of possession, and signs what it says.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use aws_lc_rs::{hmac, rsa};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::clock::Clock;
use countersign::domain::ids::sha256;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::{Url, form_urlencoded};

pub const CLIENT: &str = "countersign";
pub const SECRET: &str = "the secret of the portal at its provider";

/// A provider on this machine.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    pub issuer: String,
    keys: Mutex<Keys>,
    twist: Mutex<Twist>,
    /// What each code stands for.
    codes: Mutex<HashMap<String, Consent>>,
    asked: Mutex<BTreeMap<String, usize>>,
    clock: Mutex<Clock>,
}

struct Consent {
    nonce: String,
    challenge: String,
    redirect: String,
    claims: Value,
}

/// What it does wrong.
#[derive(Debug, Clone)]
pub struct Twist {
    /// In place of the claims of an ID token; null takes one away.
    pub token: Value,
    /// In place of a token's header.
    pub header: Value,
    pub signed: Signed,
    /// In place of what discovery says.
    pub discovery: Value,
    /// In place of the user info.
    pub user_info: Value,
    /// Whole answers, by path.
    pub answers: BTreeMap<&'static str, Wrong>,
    /// In place of the issuer in the answer that the browser brings (RFC 9207); null leaves it out.
    pub iss: Value,
}

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    Es256,
    Rs256,
    EdDsa,
    /// By somebody else, who says it was the provider's key.
    Foreign,
    /// With the portal's own secret.
    Secret,
    /// Not at all.
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub enum Wrong {
    Huge,
    Redirect,
    Broken,
    Text,
}

impl Twist {
    /// This path answers so from now on.
    pub fn answer(&mut self, path: &'static str, wrong: Wrong) {
        self.answers.insert(path, wrong);
    }
}

impl Default for Twist {
    fn default() -> Self {
        Self {
            token: json!({}),
            header: json!({}),
            signed: Signed::Es256,
            discovery: json!({}),
            user_info: json!({}),
            answers: BTreeMap::new(),
            iss: json!({}),
        }
    }
}

struct Keys {
    name: String,
    es: EcdsaKeyPair,
    rs: rsa::KeyPair,
    ed: Ed25519KeyPair,
    foreign: EcdsaKeyPair,
}

impl Keys {
    fn new(name: &str) -> Self {
        let es = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            name: name.to_owned(),
            es: es(),
            rs: rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap(),
            ed: Ed25519KeyPair::generate().unwrap(),
            foreign: es(),
        }
    }

    /// What everybody may see of them.
    fn public(&self) -> Value {
        let es = self.es.public_key().as_ref();
        let rs = self.rs.public_key();
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let kid = |kind: &str| format!("{}-{kind}", self.name);
        json!({ "keys": [
            { "kty": "EC", "crv": "P-256", "use": "sig", "kid": kid("es"), "x": base64(&es[1..33]), "y": base64(&es[33..]) },
            { "kty": "RSA", "use": "sig", "kid": kid("rs"),
              "n": base64(rs.modulus().big_endian_without_leading_zero()),
              "e": base64(rs.exponent().big_endian_without_leading_zero()) },
            { "kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid("ed"), "x": base64(self.ed.public_key().as_ref()) },
        ] })
    }

    fn sign(&self, how: Signed, text: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match how {
            Signed::Es256 => self.es.sign(&random, text).unwrap().as_ref().to_vec(),
            Signed::Foreign => self.foreign.sign(&random, text).unwrap().as_ref().to_vec(),
            Signed::EdDsa => self.ed.sign(text).as_ref().to_vec(),
            Signed::Secret => hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), text).as_ref().to_vec(),
            Signed::Nothing => Vec::new(),
            Signed::Rs256 => {
                let mut signature = vec![0; self.rs.public_modulus_len()];
                self.rs.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).unwrap();
                signature
            }
        }
    }
}

impl Signed {
    fn header(self, keys: &str) -> Value {
        let (algorithm, kind) = match self {
            Self::Es256 | Self::Foreign => ("ES256", "es"),
            Self::Rs256 => ("RS256", "rs"),
            Self::EdDsa => ("EdDSA", "ed"),
            Self::Secret => ("HS256", "es"),
            Self::Nothing => ("none", "es"),
        };
        json!({ "alg": algorithm, "typ": "JWT", "kid": format!("{keys}-{kind}") })
    }
}

/// `over` in place of what `base` says; null takes away.
fn twisted(mut base: Value, over: &Value) -> Value {
    for (name, value) in over.as_object().unwrap() {
        if value.is_null() {
            base.as_object_mut().unwrap().remove(name);
        } else {
            base[name] = value.clone();
        }
    }
    base
}

impl Provider {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            keys: Mutex::new(Keys::new("first")),
            twist: Mutex::default(),
            codes: Mutex::default(),
            asked: Mutex::default(),
            clock: Mutex::new(Clock::manual("2026-11-21T08:00:00Z".parse().unwrap())),
        };
        let provider = Self(Arc::new(inner));
        let router = Router::new().fallback(answer).with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        provider
    }

    pub fn issuer(&self) -> &str {
        &self.0.issuer
    }

    /// Lives in the portal's time from now on.
    pub fn follow(&self, clock: &Clock) {
        *self.0.clock.lock().unwrap() = clock.clone();
    }

    /// How the portal is told of it.
    pub fn config(&self, name: &str, more: &str) -> String {
        format!(
            "[[sso]]\nname = \"{name}\"\nlabel = \"{}\"\nissuer = \"{}\"\nclient_id = \"{CLIENT}\"\n\
             client_secret = \"{SECRET}\"\n{more}\n",
            name.to_uppercase(),
            self.issuer()
        )
    }

    /// From now on this goes wrong.
    pub fn twist(&self, change: impl FnOnce(&mut Twist)) {
        let mut twist = Twist::default();
        change(&mut twist);
        *self.0.twist.lock().unwrap() = twist;
    }

    pub fn behave(&self) {
        self.twist(|_| {});
    }

    /// New keys, under new names.
    pub fn rotate(&self, name: &str) {
        *self.0.keys.lock().unwrap() = Keys::new(name);
    }

    /// How often this path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        self.0.asked.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// A person signs in here who was sent to `url`. Where their browser is then sent: path and query at the portal.
    pub fn agree(&self, url: &Url, claims: Value) -> String {
        assert!(url.as_str().starts_with(&format!("{}/authorize?", self.issuer())), "{url}");
        let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", CLIENT));
        assert_eq!(query["code_challenge_method"], "S256");
        assert!(query["scope"].split(' ').any(|scope| scope == "openid"), "{url}");
        let code = format!("code-{}", self.0.codes.lock().unwrap().len());
        let consent = Consent {
            nonce: query["nonce"].clone(),
            challenge: query["code_challenge"].clone(),
            redirect: query["redirect_uri"].clone(),
            claims,
        };
        self.0.codes.lock().unwrap().insert(code.clone(), consent);
        let mut back = form_urlencoded::Serializer::new(String::new());
        back.append_pair("code", &code).append_pair("state", &query["state"]);
        let twist = self.0.twist.lock().unwrap().clone();
        let issuer = twisted(json!({ "iss": self.issuer() }), &twist.iss);
        if let Some(issuer) = issuer["iss"].as_str() {
            back.append_pair("iss", issuer);
        }
        let path = Url::parse(&query["redirect_uri"]).unwrap().path().to_owned();
        format!("{path}?{}&session_state=whatever", back.finish())
    }

    fn discovery(&self, twist: &Twist) -> Value {
        let at = |path: &str| format!("{}{path}", self.issuer());
        let good = json!({
            "issuer": self.issuer(), "authorization_endpoint": at("/authorize"), "token_endpoint": at("/token"),
            "userinfo_endpoint": at("/userinfo"), "jwks_uri": at("/keys"), "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256", "EdDSA", "HS256", "none"],
            "authorization_response_iss_parameter_supported": true,
        });
        twisted(good, &twist.discovery)
    }

    fn exchange(&self, twist: &Twist, headers: &HeaderMap, body: &[u8]) -> Response {
        let form: HashMap<String, String> = form_urlencoded::parse(body).into_owned().collect();
        let wrong =
            |what: &str| (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/json")], what.to_owned());
        let by_header = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let right = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(CLIENT), encode(SECRET))));
        if by_header != Some(right) && form.get("client_secret").map(String::as_str) != Some(SECRET) {
            return wrong("{\"error\":\"invalid_client\"}").into_response();
        }
        let consent = self.0.codes.lock().unwrap().remove(&form["code"]);
        let Some(consent) = consent else { return wrong("{\"error\":\"invalid_grant\"}").into_response() };
        let proof = URL_SAFE_NO_PAD.encode(sha256(form["code_verifier"].as_bytes()));
        if proof != consent.challenge || form["redirect_uri"] != consent.redirect {
            return wrong("{\"error\":\"invalid_grant\"}").into_response();
        }
        let tokens = json!({
            "access_token": "at", "token_type": "Bearer", "expires_in": 300, "id_token": self.token(twist, &consent),
        });
        axum::Json(tokens).into_response()
    }

    fn token(&self, twist: &Twist, consent: &Consent) -> String {
        let keys = self.0.keys.lock().unwrap();
        let now = self.0.clock.lock().unwrap().now().as_second();
        let good = json!({
            "iss": self.issuer(), "aud": CLIENT, "exp": now + 300, "iat": now, "nonce": consent.nonce, "sub": "nobody",
        });
        let claims = twisted(twisted(good, &consent.claims), &twist.token);
        let head = twisted(twist.signed.header(&keys.name), &twist.header);
        let base64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", base64(&head), base64(&claims));
        let signature = keys.sign(twist.signed, text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

async fn answer(State(provider): State<Provider>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    *provider.0.asked.lock().unwrap().entry(path.clone()).or_default() += 1;
    let twist = provider.0.twist.lock().unwrap().clone();
    match twist.answers.get(path.as_str()) {
        Some(Wrong::Huge) => {
            let text = format!("{{\"padding\":\"{}\"}}", "x".repeat(300 * 1024));
            return ([(header::CONTENT_TYPE, "application/json")], text).into_response();
        }
        Some(Wrong::Redirect) => return axum::response::Redirect::temporary("/elsewhere").into_response(),
        Some(Wrong::Broken) => return StatusCode::BAD_GATEWAY.into_response(),
        Some(Wrong::Text) => return ([(header::CONTENT_TYPE, "text/html")], "<h1>Hello</h1>").into_response(),
        None => {}
    }
    match path.as_str() {
        "/.well-known/openid-configuration" => axum::Json(provider.discovery(&twist)).into_response(),
        "/keys" => axum::Json(provider.0.keys.lock().unwrap().public()).into_response(),
        "/token" => provider.exchange(&twist, &headers, &body),
        "/userinfo" => axum::Json(twisted(json!({ "sub": "nobody" }), &twist.user_info)).into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
