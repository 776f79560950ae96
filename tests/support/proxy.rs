//! A proxy between a pool and the server that passes on a set number of the server's answers and then holds the rest
//! back, so that a client can be cut off at exactly the moment a test wants.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, Semaphore};

/// Answers pass while there are permits.
#[derive(Clone)]
pub struct Gate {
    permits: Arc<Semaphore>,
    held: Arc<Notify>,
}

impl Gate {
    /// Lets exactly `answers` more pass.
    pub fn allow_only(&self, answers: usize) {
        self.permits.forget_permits(usize::MAX >> 4);
        self.permits.add_permits(answers);
    }

    pub fn open(&self) {
        self.permits.add_permits(1 << 20);
    }

    /// Waits until an answer is held back.
    pub async fn held(&self) {
        self.held.notified().await;
    }
}

/// Starts a proxy to a server's socket; answers its address and its gate, which is open.
pub async fn start(socket: PathBuf) -> (SocketAddr, Gate) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let gate = Gate { permits: Arc::new(Semaphore::new(1 << 20)), held: Arc::new(Notify::new()) };
    let shared = gate.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = UnixStream::connect(&socket).await.unwrap();
            tokio::spawn(pass(client, server, shared.clone()));
        }
    });
    (address, gate)
}

async fn pass(client: TcpStream, server: UnixStream, gate: Gate) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asking = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    let mut answer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from_server.read(&mut answer).await {
        if gate.permits.available_permits() == 0 {
            gate.held.notify_one();
        }
        let permit = gate.permits.acquire().await.unwrap();
        permit.forget();
        if to_client.write_all(&answer[..length]).await.is_err() {
            break;
        }
    }
    asking.abort();
}
