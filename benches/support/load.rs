//! Load over HTTP/1.1: connections that stay open, in a closed loop (each asks again as soon as it was answered) or an
//! open one (requests leave at their times, whether or not earlier ones were answered, and lateness counts).
//!
//! It reads answers no further than it must: status, `Location`, length. What is measured is the server.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One answer.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn find_header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// A connection to a server.
pub struct Connection {
    stream: TcpStream,
    /// What was read and not yet used.
    buffer: Vec<u8>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a socket takes the option");
        Self { stream, buffer: Vec::with_capacity(64 * 1024) }
    }

    /// Sends a whole request and reads the whole answer.
    pub async fn ask(&mut self, request: &[u8]) -> Answer {
        self.stream.write_all(request).await.expect("the server reads");
        let head_end = loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                break end + 4;
            }
            self.fill().await;
        };
        let head = String::from_utf8_lossy(&self.buffer[..head_end]).into_owned();
        self.buffer.drain(..head_end);
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
        let mut answer = Answer { status, head, body: Vec::new() };
        let is_chunked = answer.find_header("transfer-encoding").is_some();
        answer.body = if is_chunked {
            self.read_chunks().await
        } else {
            let length = answer.find_header("content-length").map_or(0, |length| length.parse().expect("a length"));
            self.take(length).await
        };
        answer
    }

    async fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line_end = loop {
                if let Some(end) = find(&self.buffer, b"\r\n") {
                    break end;
                }
                self.fill().await;
            };
            let line = String::from_utf8_lossy(&self.buffer[..line_end]).into_owned();
            self.buffer.drain(..line_end + 2);
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk's size");
            body.extend(self.take(size).await);
            self.take(2).await;
            if size == 0 {
                return body;
            }
        }
    }

    async fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            self.fill().await;
        }
        self.buffer.drain(..length).collect()
    }

    async fn fill(&mut self) {
        let read = self.stream.read_buf(&mut self.buffer).await.expect("the server answers");
        assert!(read > 0, "the server hung up in the middle of an answer");
    }
}

/// The stream of hints that an open page listens to.
pub struct Hints(Connection);

impl Hints {
    pub async fn open(to: SocketAddr, session: &str) -> Self {
        let mut connection = Connection::open(to).await;
        let request = get(to, "/events", session, "");
        connection.stream.write_all(&request).await.expect("the server reads");
        let mut hints = Self(connection);
        hints.until(b"retry:").await;
        hints
    }

    /// Waits for the next hint.
    pub async fn next(&mut self) {
        self.until(b"event: hint").await;
    }

    async fn until(&mut self, sought: &[u8]) {
        let at = loop {
            match find(&self.0.buffer, sought) {
                Some(at) => break at,
                None => self.0.fill().await,
            }
        };
        self.0.buffer.drain(..at + sought.len());
    }
}

fn find(text: &[u8], sought: &[u8]) -> Option<usize> {
    text.windows(sought.len()).position(|window| window == sought)
}

/// A GET as a browser sends it, of a person with this session. `encodings` empty: uncompressed.
pub fn get(to: SocketAddr, path: &str, session: &str, encodings: &str) -> Vec<u8> {
    let accept = if encodings.is_empty() { String::new() } else { format!("accept-encoding: {encodings}\r\n") };
    format!(
        "GET {path} HTTP/1.1\r\nhost: {to}\r\nuser-agent: load\r\nsec-fetch-dest: document\r\n{accept}\
         cookie: countersign={session}\r\n\r\n"
    )
    .into_bytes()
}

/// A form's POST. `cookie` is a whole `name=value`; `client` is who a trusted proxy says it is from.
pub fn post(to: SocketAddr, path: &str, cookie: &str, client: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\norigin: http://{to}\r\nuser-agent: load\r\nx-forwarded-for: {client}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\ncookie: {cookie}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The value of a hidden field.
pub fn hidden(page: &str, name: &str) -> String {
    let start = format!("name=\"{name}\" value=\"");
    let rest = page.split_once(&start).unwrap_or_else(|| panic!("no field {name} in: {page}")).1;
    rest.split_once('"').expect("the value ends").0.to_owned()
}

/// Latencies of one run.
#[derive(Debug, Clone, Default)]
pub struct Measured {
    /// Microseconds, sorted.
    latencies: Vec<u64>,
    pub seconds: f64,
}

impl Measured {
    pub fn new(mut latencies: Vec<u64>, seconds: f64) -> Self {
        latencies.sort_unstable();
        Self { latencies, seconds }
    }

    pub fn count(&self) -> usize {
        self.latencies.len()
    }

    pub fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.seconds
    }

    /// Milliseconds below which this share of the requests stayed.
    pub fn quantile(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = ((self.latencies.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
        self.latencies.get(at).map_or(f64::NAN, |us| *us as f64 / 1000.0)
    }
}

/// Asks over as many connections as there are requests, each with its own, for `time` after a warm-up.
pub async fn closed_loop(to: SocketAddr, requests: Vec<Vec<u8>>, warm_up: Duration, time: Duration) -> Measured {
    let begin = Instant::now() + warm_up;
    let end = begin + time;
    let mut tasks = Vec::new();
    for request in requests {
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(to).await;
            let mut latencies = Vec::new();
            loop {
                let asked = Instant::now();
                if asked >= end {
                    return latencies;
                }
                let answer = connection.ask(&request).await;
                assert_eq!(answer.status, 200, "{}", answer.head);
                if asked >= begin {
                    latencies.push(micros(asked.elapsed()));
                }
            }
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.expect("the load runs"));
    }
    Measured::new(all, time.as_secs_f64())
}

/// Does `act` for every item, one each `1 / per_second`, however long earlier ones take. `act` is told when it should
/// have begun and returns microseconds from then.
pub async fn open_loop<I, F>(
    items: Vec<I>,
    per_second: f64,
    act: impl Fn(I, Instant) -> F + Send + Sync + 'static,
) -> Vec<u64>
where
    I: Send + 'static,
    F: Future<Output = u64> + Send,
{
    let act = Arc::new(act);
    let begin = Instant::now() + Duration::from_millis(100);
    let mut tasks = Vec::new();
    for (n, item) in items.into_iter().enumerate() {
        let due = begin + Duration::from_secs_f64(n as f64 / per_second);
        let act = Arc::clone(&act);
        tasks.push(tokio::spawn(async move {
            tokio::time::sleep_until(due.into()).await;
            act(item, due).await
        }));
    }
    let mut latencies = Vec::new();
    for task in tasks {
        latencies.push(task.await.expect("the load runs"));
    }
    latencies
}

pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("a load run is short")
}
