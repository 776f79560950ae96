//! A push service on loopback, over TLS, and the browsers that it reaches. Written from RFC 8030, 8188, 8291 and 8292, apart from the
//! portal's own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::signature::{self, ECDSA_P256_SHA256_FIXED};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rcgen::{CertificateParams, KeyPair};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::signing::Authority;

pub const HOST: &str = "push.service.example";

/// What it answers.
#[derive(Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Answer {
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What it was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub host: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

pub struct PushService {
    address: SocketAddr,
    shared: Arc<Shared>,
    authority: Authority,
}

struct Shared {
    answer: Mutex<Answer>,
    asked: Mutex<Vec<Asked>>,
    resolved: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// Answers that may be given.
    allowed: Semaphore,
    /// Is told of each request.
    came: Semaphore,
}

impl PushService {
    pub async fn start() -> Self {
        Self::start_as(vec![HOST.to_owned()]).await
    }

    /// With a certificate for these hosts.
    pub async fn start_as(names: Vec<String>) -> Self {
        let authority = Authority::new("For push");
        let key = KeyPair::generate().unwrap();
        let certificate = authority.issue(&key, &CertificateParams::new(names).unwrap());
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        let config =
            ServerConfig::builder_with_provider(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key.into())
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            answer: Mutex::new(Answer::status(201)),
            asked: Mutex::default(),
            resolved: Mutex::default(),
            connections: AtomicUsize::new(0),
            allowed: Semaphore::new(1_000_000),
            came: Semaphore::new(0),
        });
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&shared)));
        Self { address, shared, authority }
    }

    /// A client for which every name is here, and which takes this service's certificates.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let certificate = reqwest::Certificate::from_der(self.authority.certificate.der()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]);
        client.dns_resolver(Arc::new(Everywhere(self.address, Arc::clone(&self.shared))))
    }

    pub fn answers(&self, answer: Answer) {
        *self.shared.answer.lock().unwrap() = answer;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// Every name that was looked up.
    pub fn resolved(&self) -> Vec<String> {
        self.shared.resolved.lock().unwrap().clone()
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// From now on nothing is answered, until [`PushService::go_on`].
    pub fn hold(&self) {
        self.shared.allowed.forget_permits(usize::MAX >> 3);
        let _ = self.shared.came.forget_permits(usize::MAX >> 3);
    }

    pub fn go_on(&self) {
        self.shared.allowed.add_permits(1_000);
    }

    /// Waits for the next request.
    pub async fn until_asked(&self) {
        self.shared.came.acquire().await.unwrap().forget();
    }
}

struct Everywhere(SocketAddr, Arc<Shared>);

impl Resolve for Everywhere {
    fn resolve(&self, name: Name) -> Resolving {
        self.1.resolved.lock().unwrap().push(name.as_str().to_owned());
        let addresses: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(async move { Ok(addresses) })
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| respond(Arc::clone(&shared), request));
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    assert_eq!(parts.method, "POST");
    let asked = Asked {
        host: parts.headers["host"].to_str().unwrap().to_owned(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes().to_vec(),
    };
    shared.asked.lock().unwrap().push(asked);
    shared.came.add_permits(1);
    shared.allowed.acquire().await.unwrap().forget();
    let answer = shared.answer.lock().unwrap().clone();
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(answer.body.into())).unwrap())
}

/// A browser with a subscription at the service.
pub struct Phone {
    private: PrivateKey,
    public: Vec<u8>,
    secret: [u8; 16],
    pub path: String,
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

impl Phone {
    pub fn new(name: &str) -> Self {
        let private = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = private.compute_public_key().unwrap().as_ref().to_vec();
        let mut secret = [0; 16];
        aws_lc_rs::rand::fill(&mut secret).unwrap();
        Self { private, public, secret, path: format!("/send/{name}-of-which-nobody-else-knows") }
    }

    pub fn address(&self) -> String {
        format!("https://{HOST}{}", self.path)
    }

    pub fn key(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.public)
    }

    pub fn secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.secret)
    }

    /// What the form of the page is filled with.
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        vec![("endpoint", self.address()), ("p256dh", self.key()), ("auth", self.secret())]
    }

    /// What it was told, as its service worker reads it.
    pub fn told(&self, service: &PushService) -> Vec<Value> {
        let mine = service.asked().into_iter().filter(|asked| asked.path == self.path);
        mine.map(|asked| self.read(&asked)).collect()
    }

    /// Decrypts a message (RFC 8291, 3.4; RFC 8188, 2).
    pub fn read(&self, asked: &Asked) -> Value {
        assert_eq!(asked.header("content-encoding"), "aes128gcm");
        let (salt, rest) = asked.body.split_at(16);
        let (size, rest) = rest.split_at(4);
        assert_eq!(u32::from_be_bytes(size.try_into().unwrap()), 4096);
        assert_eq!(rest[0], 65);
        let (theirs, record) = rest[1..].split_at(65);
        assert!(asked.body.len() <= 4096 && record.len() <= 4096);
        let peer = agreement::UnparsedPublicKey::new(&ECDH_P256, theirs);
        let first = agree(&self.private, peer, (), |shared| Ok(Salt::new(HKDF_SHA256, &self.secret).extract(shared)));
        let mut input = [0; 32];
        let first = first.unwrap();
        let info: [&[u8]; 3] = [b"WebPush: info\0", &self.public, theirs];
        first.expand(&info, Length(32)).unwrap().fill(&mut input).unwrap();
        let second = Salt::new(HKDF_SHA256, salt).extract(&input);
        let (mut key, mut nonce) = ([0; 16], [0; 12]);
        second.expand(&[b"Content-Encoding: aes128gcm\0"], Length(16)).unwrap().fill(&mut key).unwrap();
        second.expand(&[b"Content-Encoding: nonce\0"], Length(12)).unwrap().fill(&mut nonce).unwrap();
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap());
        let mut record = record.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let text = key.open_in_place(nonce, Aad::empty(), &mut record).expect("it is for this browser");
        let end = text.iter().rposition(|byte| *byte != 0).unwrap();
        assert_eq!(text[end], 2, "the last record");
        serde_json::from_slice(&text[..end]).unwrap()
    }
}

/// What the portal proves of itself (RFC 8292), at this time: its key, whom to turn to.
pub fn proven(asked: &Asked, now: Timestamp) -> (String, Value) {
    let (token, key) =
        asked.header("authorization").strip_prefix("vapid t=").unwrap().split_once(", k=").expect("a key");
    let (said, signature) = token.rsplit_once('.').unwrap();
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let public = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes(key));
    public.verify(said.as_bytes(), &bytes(signature)).expect("signed with the key it names");
    let claims: Value = serde_json::from_slice(&bytes(said.split_once('.').unwrap().1)).unwrap();
    assert_eq!(claims["aud"], format!("https://{}", asked.host));
    let left = claims["exp"].as_i64().unwrap() - now.as_second();
    assert!((1..=86_400).contains(&left), "{left} s");
    (key.to_owned(), claims["sub"].clone())
}
