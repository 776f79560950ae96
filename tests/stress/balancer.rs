//! A small balancer, such as stands before replicas: asks each `/readyz` five times a second, sends requests in turn to
//! those that are ready, keeps connections to them, and never tries anything twice.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::Notify;

const PROBE_EVERY: Duration = Duration::from_millis(200);
/// Shorter than the portal's own patience with idle connections, as every balancer's must be.
const KEEP: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Balancer(Arc<Inner>);

struct Inner {
    client: Client<HttpConnector, Incoming>,
    prober: reqwest::Client,
    replicas: Mutex<Vec<Replica>>,
    next: AtomicUsize,
    probed: Notify,
}

#[derive(Clone, Copy)]
struct Replica {
    address: SocketAddr,
    is_ready: bool,
}

impl Balancer {
    /// Listens on `listener` until the test ends.
    pub fn start(listener: TcpListener) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .retry_canceled_requests(false)
            .pool_idle_timeout(KEEP)
            .pool_timer(hyper_util::rt::TokioTimer::new())
            .build(HttpConnector::new());
        let prober =
            reqwest::Client::builder().pool_max_idle_per_host(0).timeout(Duration::from_secs(5)).build().unwrap();
        let (replicas, next, probed) = (Mutex::default(), AtomicUsize::new(0), Notify::new());
        let balancer = Self(Arc::new(Inner { client, prober, replicas, next, probed }));
        tokio::spawn(balancer.clone().accept(listener));
        tokio::spawn(balancer.clone().probe());
        balancer
    }

    pub fn add(&self, address: SocketAddr) {
        self.0.replicas.lock().unwrap().push(Replica { address, is_ready: false });
    }

    /// Forgets a replica that has ended.
    pub fn remove(&self, address: SocketAddr) {
        self.0.replicas.lock().unwrap().retain(|replica| replica.address != address);
    }

    /// Until so many replicas are ready.
    pub async fn until_ready(&self, count: usize) {
        loop {
            let probed = self.0.probed.notified();
            if self.0.replicas.lock().unwrap().iter().filter(|replica| replica.is_ready).count() >= count {
                return;
            }
            probed.await;
        }
    }

    async fn probe(self) {
        let mut ticks = tokio::time::interval(PROBE_EVERY);
        loop {
            ticks.tick().await;
            let addresses: Vec<_> = self.0.replicas.lock().unwrap().iter().map(|replica| replica.address).collect();
            for address in addresses {
                let answer = self.0.prober.get(format!("http://{address}/readyz")).send().await;
                let is_ready = answer.is_ok_and(|answer| answer.status() == StatusCode::OK);
                let mut replicas = self.0.replicas.lock().unwrap();
                if let Some(replica) = replicas.iter_mut().find(|replica| replica.address == address) {
                    replica.is_ready = is_ready;
                }
            }
            self.0.probed.notify_waiters();
        }
    }

    async fn accept(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let balancer = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let balancer = balancer.clone();
                    async move { Ok::<_, Infallible>(balancer.forward(request).await) }
                });
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    }

    /// What a failed request was told is in its body.
    async fn forward(&self, mut request: Request<Incoming>) -> Response<Body> {
        let failed = |why: String| Response::builder().status(StatusCode::BAD_GATEWAY).body(Body::from(why)).unwrap();
        let ready: Vec<_> = {
            let replicas = self.0.replicas.lock().unwrap();
            replicas.iter().filter(|replica| replica.is_ready).map(|replica| replica.address).collect()
        };
        if ready.is_empty() {
            return failed("no replica is ready".to_owned());
        }
        let address = ready[self.0.next.fetch_add(1, Ordering::Relaxed) % ready.len()];
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = Uri::try_from(format!("http://{address}{path}")).unwrap();
        match self.0.client.request(request).await {
            Ok(response) => {
                let mut response = response.map(Body::new);
                // Of the connection behind us, not of the one before us.
                response.headers_mut().remove("connection");
                response
            }
            Err(error) => failed(format!("{address}: {error:?}")),
        }
    }
}
