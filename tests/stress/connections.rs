//! Connections that never become requests, and answers that are never read (P-10, P-11).

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::StatusCode;
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Browser, EMAIL, PASSWORD, Served, Settings, client, open_many, print, spread};
use crate::support::postgres::TestDatabase;

const ATTACKERS: usize = 2_000;
/// Fewer than one address may have.
const OF_ONE_ADDRESS: usize = 50;
/// Three times what the slowest limit allows: this fails for a connection that stays, not for a busy machine.
const FOR_EVER: Duration = Duration::from_secs(90);
/// What a portal may have open beside connections of people: to the database, to AWS.
const OWN: usize = 40;
const STALLED: usize = 10;

/// What an attacker sends at once, and then a byte each second.
#[derive(Clone, Copy)]
enum Kind {
    Silent,
    HalfHead,
    HalfBody,
}

const KINDS: [Kind; 3] = [Kind::Silent, Kind::HalfHead, Kind::HalfBody];

/// Connects from an address of its own in 127.0.0.0/8.
async fn connect(served: &Served, number: usize) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    let [high, low] = u16::try_from(number / OF_ONE_ADDRESS).unwrap().to_be_bytes();
    socket.bind((Ipv4Addr::new(127, 1, high, low + 1), 0).into()).unwrap();
    socket.connect(served.address).await.unwrap()
}

/// Goes on until the portal hangs up; how long that took.
async fn attack(mut stream: TcpStream, kind: Kind, host: String) -> Duration {
    let began = Instant::now();
    let first = match kind {
        Kind::Silent => String::new(),
        Kind::HalfHead => "GET /sign-in HTTP/1.1\r\nX-Long: ".to_owned(),
        Kind::HalfBody => format!("POST /sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: 60000\r\n\r\n"),
    };
    let (mut read, mut write) = stream.split();
    let dribble = async {
        let mut sent = write.write_all(first.as_bytes()).await;
        // The attack itself is slow; nothing is waited for here.
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        while sent.is_ok() && !matches!(kind, Kind::Silent) {
            seconds.tick().await;
            sent = write.write_all(b"a").await;
        }
        std::future::pending::<()>().await;
    };
    let hung_up = async {
        let mut answer = Vec::new();
        read.read_to_end(&mut answer).await.ok();
    };
    tokio::select! {
        () = hung_up => began.elapsed(),
        () = dribble => unreachable!("a dribbler never gives up"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_connections_that_never_ask_keep_nobody_from_signing_in_and_are_all_closed() {
    // P-10
    open_many();
    let database = TestDatabase::create().await;
    let settings = || Settings::of(&database).with("COUNTERSIGN_TRUSTED_PROXIES", "127.0.0.0/24");
    settings().create_account().await;
    let served = Served::start(settings()).await;
    let (base, browsers) = (served.url(""), client());
    let host = served.address.to_string();
    let sign_in = async |number: usize| {
        let began = Instant::now();
        let address = format!("198.51.{}.{}", number / 250, number % 250);
        let mut browser = Browser::open(&browsers, &base, &address).await;
        (browser.sign_in(EMAIL, PASSWORD).await.unwrap().status(), began.elapsed())
    };
    assert_eq!(sign_in(0).await.0, StatusCode::SEE_OTHER);

    let streams = join_all((0..ATTACKERS).map(|number| connect(&served, number))).await;
    let attacks: Vec<_> = streams.into_iter().zip(KINDS.into_iter().cycle()).collect();
    let attacks = attacks.into_iter().map(|(stream, kind)| tokio::spawn(attack(stream, kind, host.clone())));
    let mut attacks = tokio::spawn(join_all(attacks.collect::<Vec<_>>()));
    let (mut times, mut most_open) = (Vec::new(), 0);
    let deadline = tokio::time::Instant::now() + FOR_EVER;
    let lasted = loop {
        most_open = most_open.max(served.descriptors());
        tokio::select! {
            lasted = &mut attacks => break lasted.unwrap(),
            () = tokio::time::sleep_until(deadline) => panic!("{} are still open", served.descriptors()),
            (status, took) = sign_in(times.len() + 1) => {
                assert_eq!(status, StatusCode::SEE_OTHER);
                times.push(took);
            }
        }
    };
    let longest = lasted.into_iter().map(Result::unwrap).max().unwrap();
    assert!(most_open >= ATTACKERS, "all were let in: {most_open}");
    assert!(!times.is_empty(), "somebody signed in meanwhile");
    print(&format!("sign-in (form and post) beside {ATTACKERS} slow connections: {}", spread(&mut times)));
    print(&format!("the last of them was hung up on after {} s", longest.as_secs()));
    let open = served.descriptors();
    assert!(open <= OWN, "{open} are still open");
}

/// A connection with hardly any room for what arrives, full of requests whose answers it never reads. How that
/// ended.
async fn stall(served: &Served, path: &str) -> String {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&SockAddr::from(served.address)).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut stream = TcpStream::from_std(socket.into()).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
    // When nobody answers any more, nobody reads requests either: then this stops being taken.
    let many = request.repeat(200_000);
    let ended = stream.write_all(many.as_bytes()).await;
    ended.expect_err("the portal hangs up").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_and_never_reads_is_hung_up_on() {
    // P-11. The portal's own patience is 30 s.
    let database = TestDatabase::create().await;
    let served = Served::start(Settings::of(&database)).await;
    // The largest answer that everybody may have.
    let page = served.ask("/sign-in").await.unwrap().1;
    let (_, rest) = page.split_once("\"/static/").unwrap();
    let path = format!("/static/{}", rest.split('"').next().unwrap());
    let began = Instant::now();
    let stalls = join_all((0..STALLED).map(|_| stall(&served, &path)));
    // Writing ends when the portal hangs up: before that there is no room for all of it.
    let ended = tokio::time::timeout(FOR_EVER, stalls).await.expect("the portal hangs up");
    print(&format!("{STALLED} who never read were hung up on after {} s: {}", began.elapsed().as_secs(), ended[0]));
    assert_eq!(served.ask("/healthz").await.unwrap().0, StatusCode::OK);
}
