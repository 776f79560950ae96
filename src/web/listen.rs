//! Accepts connections and hands their requests to the router (P-10). An own loop, because the framework's never closes
//! a connection that stays silent or dribbles. Limits: how long a request's head may take (which also ends idle
//! connections), how many connections there may be, and how many from one address; `flow` limits how long an answer may
//! wait to be taken.
//!
//! It must never read a request: what a request may be is `layers::limits`.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use axum::response::Response;
use futures::FutureExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::flow::{self, Flow};
use super::health::Readiness;
use super::layers::Peer;

/// Head of a request, and silence between two.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// How long a connection that was just made has for its first request when the portal stops.
const FIRST_REQUEST: Duration = Duration::from_secs(1);
const CONNECTIONS: usize = 2_048;
const PER_ADDRESS: u32 = 64;
const HEADERS: usize = 64;
/// More than the address and the headers may have together, so that which of them is too long can be told.
const BUFFER: usize = 64 * 1024;

/// A listening server.
#[derive(Debug)]
pub struct Listening {
    pub address: SocketAddr,
    connections: TaskTracker,
    readiness: Readiness,
    /// Drop what is still there.
    hard: CancellationToken,
}

impl Listening {
    /// Starts accepting. `trusted` proxies are not limited by address: everybody comes through them.
    ///
    /// # Errors
    /// The listener has no address.
    pub fn start(
        listener: TcpListener,
        router: Router,
        trusted: Vec<IpNet>,
        readiness: &Readiness,
    ) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let connections = TaskTracker::new();
        let hard = CancellationToken::new();
        let door = Door { trusted, all: Arc::new(Semaphore::new(CONNECTIONS)), by_address: Arc::default() };
        let serving = Serving { router, readiness: readiness.clone(), hard: hard.clone() };
        connections.spawn(accept(listener, door, serving, connections.clone()));
        Ok(Self { address, connections, readiness: readiness.clone(), hard })
    }

    /// Stops accepting, lets requests end for at most `patience`, then drops what is left.
    pub async fn stop(self, patience: Duration) {
        self.readiness.stop();
        self.connections.close();
        if tokio::time::timeout(patience, self.connections.wait()).await.is_err() {
            tracing::warn!(left = self.connections.len(), "connections were cut off at the end of their time");
            self.hard.cancel();
            self.connections.wait().await;
        }
    }
}

#[derive(Clone)]
struct Serving {
    router: Router,
    readiness: Readiness,
    hard: CancellationToken,
}

async fn accept(listener: TcpListener, door: Door, serving: Serving, connections: TaskTracker) {
    let admit = |(stream, peer): (TcpStream, SocketAddr)| {
        let address = peer.ip().to_canonical();
        // Nobody is owed an answer here: a full house closes the door.
        if let Some(ticket) = door.admit(address) {
            connections.spawn(converse(stream, address, serving.clone(), ticket));
        }
    };
    loop {
        let accepted = tokio::select! {
            () = serving.readiness.stopping().cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => admit(accepted),
            Err(error) => {
                // Out of file descriptors, or the client was gone already. The next try must not spin.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // Whoever the operating system has already let in must not find the door slammed.
    while let Some(Ok(accepted)) = listener.accept().now_or_never() {
        admit(accepted);
    }
}

async fn converse(stream: TcpStream, address: IpAddr, serving: Serving, _ticket: Ticket) {
    if let Err(error) = flow::prepare(&stream) {
        tracing::debug!(%error, "a connection was gone at once");
        return;
    }
    let Serving { router, readiness, hard } = serving;
    let asked = Arc::new(AtomicBool::new(false));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(Flow::new(stream)), service(router, address, readiness.clone(), asked.clone()));
    let mut connection = std::pin::pin!(connection);
    let mut leave = std::pin::pin!(async {
        readiness.stopping().cancelled().await;
        if !asked.load(Ordering::SeqCst) {
            tokio::time::sleep(FIRST_REQUEST).await;
        }
    });
    let mut leaving = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended badly");
                }
                return;
            }
            () = leave.as_mut(), if !leaving => {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            () = hard.cancelled() => return,
        }
    }
}

/// What answers the requests of one connection. `asked` becomes true with the first.
fn service(
    router: Router,
    address: IpAddr,
    readiness: Readiness,
    asked: Arc<AtomicBool>,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> {
    service_fn(move |request: Request<Incoming>| {
        asked.store(true, Ordering::SeqCst);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(address));
        let (router, readiness) = (router.clone(), readiness.clone());
        async move {
            let mut response = router.oneshot(request).await.unwrap_or_else(|never| match never {});
            // Told with an answer, the client cannot be sending its next request while the connection is closed.
            if readiness.leaving().is_cancelled() {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(response)
        }
    })
}

/// How many connections each address has; addresses without any are not kept.
type Counts = Arc<Mutex<HashMap<IpAddr, u32>>>;

/// Counts connections.
struct Door {
    trusted: Vec<IpNet>,
    all: Arc<Semaphore>,
    by_address: Counts,
}

/// One admitted connection; leaves when dropped.
struct Ticket {
    _place: OwnedSemaphorePermit,
    counted: Option<(IpAddr, Counts)>,
}

impl Door {
    fn admit(&self, address: IpAddr) -> Option<Ticket> {
        let place = Arc::clone(&self.all).try_acquire_owned().ok()?;
        if self.trusted.iter().any(|net| net.contains(&address)) {
            return Some(Ticket { _place: place, counted: None });
        }
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= PER_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Ticket { _place: place, counted: Some((address, Arc::clone(&self.by_address))) })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some((address, counts)) = &self.counted else { return };
        let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_connection_but_a_proxy_may_bring_many() {
        let door = Door {
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            all: Arc::new(Semaphore::new(200)),
            by_address: Arc::default(),
        };
        let stranger: IpAddr = "198.51.100.7".parse().unwrap();
        let mut tickets: Vec<_> = (0..PER_ADDRESS).map(|_| door.admit(stranger).unwrap()).collect();
        assert!(door.admit(stranger).is_none());
        assert!(door.admit("198.51.100.8".parse().unwrap()).is_some());
        tickets.pop();
        assert!(door.admit(stranger).is_some(), "a place that was left is free again");
        let through_proxy: Vec<_> = (0..100).map_while(|_| door.admit("10.1.1.1".parse().unwrap())).collect();
        assert_eq!(through_proxy.len(), 100);
        tickets.clear();
        assert!(door.by_address.lock().unwrap().is_empty(), "nothing is kept of those who left");
    }
}
