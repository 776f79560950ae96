//! A proxy before Postgres that spoils the connection in every way a network, a firewall, a failing server or a failover
//! does: slow, cut, refused, frozen, and the two ways to lose a COMMIT. It runs on a thread of its own, so that no test's
//! runtime holds it up, and it counts what it did.

mod wire;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Where the server really is.
#[derive(Clone, Debug)]
pub enum Upstream {
    Socket(PathBuf),
    Tcp(SocketAddr),
}

impl Upstream {
    /// Where these options lead.
    pub fn of(options: &PgConnectOptions) -> Self {
        match options.get_socket() {
            Some(directory) => Self::Socket(directory.join(format!(".s.PGSQL.{}", options.get_port()))),
            None => Self::Tcp(format!("{}:{}", options.get_host(), options.get_port()).parse().unwrap()),
        }
    }
}

/// What becomes of a COMMIT that a test has picked.
#[allow(clippy::enum_variant_names, reason = "each variant says what is lost")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The server commits, the client never hears of it.
    AnswerLost,
    /// The same, and in that instant the proxy goes away with everything.
    ServerLost,
    /// The server never hears of it and rolls back.
    RequestLost,
}

/// What the proxy has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: u64,
    pub refused: u64,
    pub cut: u64,
    /// Confirmed by the server, whether passed on or not.
    pub commits: u64,
    pub answers_lost: u64,
    pub requests_lost: u64,
}

struct Picked {
    how: Commit,
    statement: String,
    times: u64,
}

struct Shared {
    upstream: Mutex<Upstream>,
    answers: Semaphore,
    held: Notify,
    delay: watch::Sender<Duration>,
    frozen: watch::Sender<bool>,
    refusing: watch::Sender<bool>,
    picked: Mutex<Vec<Picked>>,
    counts: watch::Sender<Counts>,
    open: watch::Sender<HashMap<u64, CancellationToken>>,
    end: CancellationToken,
}

/// A handle; the proxy ends with the last one.
#[derive(Clone)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _end: Arc<tokio_util::sync::DropGuard>,
}

impl Proxy {
    /// Starts a proxy that passes everything on.
    pub fn start(upstream: Upstream) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(upstream),
            answers: Semaphore::new(1 << 40),
            held: Notify::new(),
            delay: watch::Sender::new(Duration::ZERO),
            frozen: watch::Sender::new(false),
            refusing: watch::Sender::new(false),
            picked: Mutex::default(),
            counts: watch::Sender::new(Counts::default()),
            open: watch::Sender::default(),
            end: CancellationToken::new(),
        });
        let (working, end) = (shared.clone(), shared.end.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                working.end.clone().run_until_cancelled(accept(listener, working)).await;
            });
        });
        Self { address, shared, _end: Arc::new(end.drop_guard()) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same login and database, by way of this proxy.
    pub fn options(&self, direct: &PgConnectOptions) -> PgConnectOptions {
        // Built anew, because options that know a socket always use it.
        PgConnectOptions::new_without_pgpass()
            .host("127.0.0.1")
            .port(self.address.port())
            .username(direct.get_username())
            .database(direct.get_database().unwrap())
            .ssl_mode(PgSslMode::Disable)
    }

    /// The same as a URL for `DATABASE_URL`.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@{}/{database}?sslmode=disable", self.address)
    }

    /// New connections lead there from now on, as after a failover. Those that stand keep where they are.
    pub fn lead_to(&self, upstream: Upstream) {
        *self.shared.upstream.lock().unwrap() = upstream;
    }

    /// Lets exactly `answers` more of the server's answers pass, on whatever connection.
    pub fn allow_only(&self, answers: usize) {
        self.shared.answers.forget_permits(usize::MAX >> 4);
        self.shared.answers.add_permits(answers);
    }

    pub fn allow_all(&self) {
        self.shared.answers.add_permits(1 << 40);
    }

    /// Waits until an answer is held back.
    pub async fn held(&self) {
        self.shared.held.notified().await;
    }

    /// Each answer of the server takes this much longer.
    pub fn delay_answers(&self, by: Duration) {
        self.shared.delay.send_replace(by);
    }

    /// Nothing passes in either direction, and nothing closes: what a dropped route or a stopped machine looks like.
    pub fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    pub fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }

    /// New connections are closed as soon as they are made.
    pub fn refuse(&self) {
        self.shared.refusing.send_replace(true);
    }

    pub fn accept(&self) {
        self.shared.refusing.send_replace(false);
    }

    /// Ends every connection, and returns when both ends of each are closed. Answers how many there were.
    pub async fn cut(&self) -> usize {
        let doomed: Vec<u64> = self.shared.open.borrow().keys().copied().collect();
        self.shared.open.borrow().values().for_each(CancellationToken::cancel);
        let gone = |open: &HashMap<u64, CancellationToken>| doomed.iter().all(|id| !open.contains_key(id));
        self.shared.open.subscribe().wait_for(gone).await.unwrap();
        self.shared.counts.send_modify(|counts| counts.cut += doomed.len() as u64);
        doomed.len()
    }

    /// Away: nothing gets in, and what was in is cut.
    pub async fn go_away(&self) {
        self.refuse();
        self.cut().await;
    }

    /// Loses the next `times` COMMITs of transactions that ran a statement containing `statement` (any, if empty), and
    /// cuts the connection each came on.
    pub fn lose_commits(&self, how: Commit, statement: &str, times: u64) {
        self.shared.picked.lock().unwrap().push(Picked { how, statement: statement.to_owned(), times });
    }

    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until the counts are as the test wants them.
    pub async fn until(&self, enough: impl FnMut(&Counts) -> bool) -> Counts {
        *self.shared.counts.subscribe().wait_for(enough).await.unwrap()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    for id in 0.. {
        let Ok((client, _)) = listener.accept().await else { return };
        if *shared.refusing.borrow() {
            shared.counts.send_modify(|counts| counts.refused += 1);
            continue;
        }
        shared.counts.send_modify(|counts| counts.connections += 1);
        let cut = CancellationToken::new();
        shared.open.send_modify(|open| _ = open.insert(id, cut.clone()));
        let shared = shared.clone();
        tokio::spawn(async move {
            // Both ends are dropped, and so closed, before the connection counts as gone.
            let _ = cut.run_until_cancelled(serve(client, &shared)).await;
            shared.open.send_modify(|open| _ = open.remove(&id));
        });
    }
}

async fn serve(client: TcpStream, shared: &Shared) -> Option<()> {
    client.set_nodelay(true).ok()?;
    let upstream = shared.upstream.lock().unwrap().clone();
    match upstream {
        Upstream::Socket(path) => relay(client, UnixStream::connect(path).await.ok()?, shared).await,
        Upstream::Tcp(address) => relay(client, TcpStream::connect(address).await.ok()?, shared).await,
    }
}

/// Passes bytes on until either end closes or a COMMIT is lost.
async fn relay(client: TcpStream, server: impl AsyncRead + AsyncWrite, shared: &Shared) -> Option<()> {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = tokio::io::split(server);
    let doomed = watch::Sender::new(None);
    let to_client = tokio::sync::Mutex::new(to_client);
    tokio::select! {
        ended = ask(from_client, to_server, &to_client, shared, &doomed) => ended,
        ended = answer(from_server, &to_client, shared, &doomed) => ended,
    }
}

async fn ask(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    back: &tokio::sync::Mutex<impl AsyncWrite + Unpin>,
    shared: &Shared,
    doomed: &watch::Sender<Option<Commit>>,
) -> Option<()> {
    let (mut buffer, mut asking) = (vec![0; 64 * 1024], wire::Asking::default());
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        thawed(shared).await;
        let bytes = &buffer[..length];
        if wire::asks_for_encryption(bytes) {
            back.lock().await.write_all(b"N").await.ok()?;
            continue;
        }
        if let Some(ran) = asking.read(bytes) {
            match pick(shared, &ran) {
                Some(Commit::RequestLost) => {
                    shared.counts.send_modify(|counts| counts.requests_lost += 1);
                    return None;
                }
                how => _ = doomed.send_replace(how),
            }
        }
        to.write_all(bytes).await.ok()?;
    }
    // A frozen network does not tell the server either that its client has gone.
    thawed(shared).await;
    None
}

async fn answer(
    mut from: impl AsyncRead + Unpin,
    to: &tokio::sync::Mutex<impl AsyncWrite + Unpin>,
    shared: &Shared,
    doomed: &watch::Sender<Option<Commit>>,
) -> Option<()> {
    let (mut buffer, mut answering) = (vec![0; 64 * 1024], wire::Answering::default());
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let confirmed = answering.read(&buffer[..length]);
        shared.counts.send_modify(|counts| counts.commits += u64::from(confirmed));
        if confirmed && let Some(how) = *doomed.borrow() {
            if how == Commit::ServerLost {
                shared.refusing.send_replace(true);
                shared.open.borrow().values().for_each(CancellationToken::cancel);
            }
            shared.counts.send_modify(|counts| counts.answers_lost += 1);
            return None;
        }
        if shared.answers.available_permits() == 0 {
            shared.held.notify_one();
        }
        shared.answers.acquire().await.unwrap().forget();
        let delay = *shared.delay.borrow();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        thawed(shared).await;
        to.lock().await.write_all(&buffer[..length]).await.ok()?;
    }
    thawed(shared).await;
    None
}

async fn thawed(shared: &Shared) {
    shared.frozen.subscribe().wait_for(|frozen| !frozen).await.unwrap();
}

fn pick(shared: &Shared, ran: &[String]) -> Option<Commit> {
    let mut picked = shared.picked.lock().unwrap();
    let hit = picked
        .iter_mut()
        .find(|it| it.times > 0 && (it.statement.is_empty() || ran.iter().any(|sql| sql.contains(&it.statement))))?;
    hit.times -= 1;
    Some(hit.how)
}
