//! Every host there is, on loopback, over TLS: whatever the portal asks of anybody is counted and answered here.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use rustls_pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use crate::signing::Authority;

/// What a path is answered with. What is not known is answered with 404.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
    pub location: Option<&'static str>,
}

impl Answer {
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, body: body.into(), location: None }
    }

    pub fn status(status: u16) -> Self {
        Self { status, body: b"<ErrorResponse/>".to_vec(), location: None }
    }
}

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub host: String,
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    authority: Authority,
}

struct Shared {
    answers: Mutex<BTreeMap<String, Answer>>,
    asked: Mutex<Vec<Asked>>,
    /// Paths at which nothing is answered.
    hanging: watch::Sender<BTreeSet<String>>,
    resolved: Mutex<Vec<String>>,
    connections: AtomicUsize,
    /// Answers that may be given.
    allowed: Semaphore,
}

impl Server {
    /// Has certificates for these hosts, and for no other.
    pub async fn start(hosts: &[&str]) -> Self {
        let authority = Authority::new("For TLS");
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
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
            answers: Mutex::default(),
            asked: Mutex::default(),
            hanging: watch::Sender::default(),
            resolved: Mutex::default(),
            connections: AtomicUsize::new(0),
            allowed: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        tokio::spawn(accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&shared)));
        Self { address, shared, authority }
    }

    /// A client for which every name is here, and which takes this server's certificates.
    pub fn client(&self) -> reqwest::ClientBuilder {
        let certificate = reqwest::Certificate::from_der(self.authority.certificate.der()).unwrap();
        let resolver = Arc::new(Everywhere { address: self.address, shared: Arc::clone(&self.shared) });
        reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).dns_resolver(resolver)
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        self.shared.answers.lock().unwrap().insert(path.to_owned(), answer);
    }

    #[allow(dead_code, reason = "for tests/channels")]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on, nothing is answered there, until [`Server::go_on_at`].
    #[allow(dead_code, reason = "for tests/channels")]
    pub fn hang_at(&self, path: &str) {
        self.shared.hanging.send_if_modified(|hanging| hanging.insert(path.to_owned()));
    }

    /// Whatever was asked there is answered.
    #[allow(dead_code, reason = "for tests/channels")]
    pub fn go_on_at(&self, path: &str) {
        self.shared.hanging.send_if_modified(|hanging| hanging.remove(path));
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The names that were looked up, and how many connections were made: what was asked of anybody at all.
    pub fn contacts(&self) -> (usize, usize) {
        (self.shared.resolved.lock().unwrap().len(), self.shared.connections.load(Ordering::SeqCst))
    }

    pub fn resolved(&self) -> Vec<String> {
        self.shared.resolved.lock().unwrap().clone()
    }

    /// From now on nothing is answered, until [`Server::go_on`].
    pub fn hold(&self) {
        self.shared.allowed.forget_permits(Semaphore::MAX_PERMITS);
    }

    pub fn go_on(&self) {
        self.shared.allowed.add_permits(1_000);
    }
}

struct Everywhere {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Resolve for Everywhere {
    fn resolve(&self, name: Name) -> Resolving {
        self.shared.resolved.lock().unwrap().push(name.as_str().to_owned());
        let addresses: Addrs = Box::new(std::iter::once(self.address));
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
    let body = body.collect().await.unwrap().to_bytes();
    let asked = Asked {
        method: parts.method.to_string(),
        host: parts.headers["host"].to_str().unwrap().to_owned(),
        path: parts.uri.path().to_owned(),
        headers: parts.headers,
        body: String::from_utf8(body.to_vec()).unwrap(),
    };
    let path = asked.path.clone();
    shared.asked.lock().unwrap().push(asked);
    shared.hanging.subscribe().wait_for(|hanging| !hanging.contains(&path)).await.unwrap();
    let found = shared.answers.lock().unwrap().get(&path).cloned();
    shared.allowed.acquire().await.unwrap().forget();
    let answer = found.unwrap_or_else(|| Answer::status(404));
    let mut response = Response::builder().status(answer.status);
    if let Some(location) = answer.location {
        response = response.header("location", location);
    }
    Ok(response.body(Full::new(answer.body.into())).unwrap())
}
