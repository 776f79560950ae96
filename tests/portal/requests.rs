//! Requests that are too long, too slow, misdirected or not from a browser (S-34, S-44, U-12, P-10), on the wire.

use std::time::Duration;

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Portal, password, records_in};

/// Sends these bytes and reads until the portal closes the connection.
async fn exchange(portal: &Portal, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(portal.address()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_is_refused_by_name() {
    let portal = Portal::start().await;
    let browser = portal.anonymous();
    let long_address = format!("/sign-in?return={}", "a".repeat(9 * 1024));
    assert_eq!(browser.open(&long_address).await.status, 414);
    let request = browser.request(Method::GET, "/sign-in").header("x-long", "a".repeat(17 * 1024));
    assert_eq!(browser.send("/sign-in", request).await.status, 431);
    let mut request = browser.request(Method::GET, "/sign-in");
    for number in 0..80 {
        request = request.header(format!("x-{number}"), "1");
    }
    assert_eq!(browser.send("/sign-in", request).await.status, 431);
    let request = browser.post_request("/sign-in").body("a".repeat(64 * 1024 + 1));
    let page = browser.send("/sign-in", request).await;
    assert_eq!((page.status, page.header("connection")), (413, Some("close")));
    crate::answers::assert_headers(&page, false);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_what_the_page_sends_and_nothing_else() {
    // S-34
    let portal = Portal::start().await;
    let browser = portal.anonymous();
    let csrf = browser.open("/sign-in").await.csrf();
    let good = [("csrf", csrf.as_str()), ("email", "a@example.com"), ("password", "a guess like another")];
    assert_eq!(browser.post("/sign-in", &good).await.status, 401);
    for extra in [("role", "admin"), ("email", "b@example.com"), ("csrf", "x")] {
        let mut fields = good.to_vec();
        fields.push(extra);
        assert_eq!(browser.post("/sign-in", &fields).await.status, 400, "{extra:?}");
    }
    assert_eq!(browser.post("/sign-in", &good[..2]).await.status, 400, "a missing field");
    let request = browser.post_request("/sign-in").header("content-type", "application/json").body("{}");
    assert_eq!(browser.send("/sign-in", request).await.status, 415);
    assert_eq!(browser.open("/sign-in?return=/me&return=/").await.status, 400);
    assert_eq!(browser.open("/sign-in?surprise=1").await.status, 400);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_portals_own_name_is_answered() {
    // S-44
    let portal = Portal::start().await;
    let own = portal.address();
    for host in ["evil.example", "localhost", &format!("rebound.example:{}", own.port())] {
        let answer =
            exchange(&portal, format!("GET /sign-in HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
                .await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{host}: {answer}");
        assert!(answer.contains(&format!("http://{own}/")), "it says where the portal is: {answer}");
    }
    let answer = exchange(&portal, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "probers use any name of the machine: {answer}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_cannot_hold_is_answered_like_anything_else() {
    // U-02
    let portal = Portal::start().await;
    portal.create_account("lee", &[]).await;
    let stranger = portal.anonymous();
    let page = stranger.open("/sign-in").await;
    let page = stranger.submit(&page, "/sign-in", &[("email", "a\0@example.com"), ("password", "x")]).await;
    assert_eq!(page.status, 401, "{}", page.text());
    let adam = portal.as_admin().await;
    for path in ["/admin/accounts?q=%00", "/admin/accounts?after=%00", "/admin/access/person?email=%00a%40x.org"] {
        let page = adam.open(path).await;
        assert!(page.status < 500, "{path}: {}", page.text());
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_doubtful_length_are_refused_and_the_connection_closed() {
    // U-12: request smuggling needs two readers of one body.
    let portal = Portal::start().await;
    let host = portal.address();
    let head = format!(
        "POST /sign-in HTTP/1.1\r\nHost: {host}\r\nSec-Fetch-Site: same-origin\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    );
    let doubtful = [
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcd",
        "Content-Length: -1\r\n\r\n",
    ];
    for rest in doubtful {
        let answer = exchange(&portal, format!("{head}{rest}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{rest:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "nothing more is read: {answer}");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_stay_silent_or_dribble_are_closed() {
    // P-10. Real time: the limits are the operating system's and the runtime's, not the portal's clock.
    let portal = Portal::start().await;
    let host = portal.address();
    let half_body = format!("POST /sign-in HTTP/1.1\r\nHost: {host}\r\nContent-Length: 50\r\n\r\nabc");
    let kinds = ["", "GET / HTTP/1.1\r\nHo", half_body.as_str()];
    let closed = kinds.map(|sent| tokio::time::timeout(Duration::from_secs(25), exchange(&portal, sent.as_bytes())));
    let answers = futures::future::join_all(closed).await;
    let answers: Vec<String> =
        answers.into_iter().map(|answer| answer.expect("the connection is closed in time")).collect();
    assert_eq!(answers[0], "");
    assert!(answers[2].starts_with("HTTP/1.1 408 "), "{answers:?}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_address_from_outside_is_not_believed() {
    // S-14: the right-most untrusted entry counts, whatever a client puts before it.
    let portal = Portal::start().await;
    portal.create_account("ana", &[]).await;
    let ana = portal.anonymous();
    let csrf = ana.open("/sign-in").await.csrf();
    let fields = [("csrf", csrf.as_str()), ("email", "ana@example.com"), ("password", &password("ana"))];
    let request = ana.post_request("/sign-in").form(&fields);
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    let forged = format!("203.0.113.66, {}", ana.address).parse().unwrap();
    request.headers_mut().insert("x-forwarded-for", forged);
    assert_eq!(client.execute(request).await.unwrap().status().as_u16(), 303);
    let started = portal.records_of("session.started").await.remove(0);
    let told = started.payload.to_string();
    assert!(told.contains(&ana.address) && !told.contains("203.0.113.66"), "{told}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_begun_for_a_person_who_hangs_up_is_finished() {
    // P-01: held between its first and its last statement, left, and let go.
    let portal = Portal::start().await;
    portal.create_account("ana", &[]).await;
    let ana = portal.anonymous();
    let csrf = ana.open("/sign-in").await.csrf();
    let mut holder = portal.database.connect_superuser().await;
    sqlx::query("begin").execute(&mut holder).await.unwrap();
    sqlx::query("lock table portal.session in access exclusive mode").execute(&mut holder).await.unwrap();
    let fields = [("csrf", csrf.as_str()), ("email", "ana@example.com"), ("password", &password("ana"))];
    let asking = tokio::spawn(ana.post_request("/sign-in").form(&fields).send());
    let mut watcher = portal.database.connect_superuser().await;
    let held = "select exists (select from pg_locks where not granted and relation = 'portal.session'::regclass)";
    while !sqlx::query_scalar::<_, bool>(held).fetch_one(&mut watcher).await.unwrap() {}
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    sqlx::query("rollback").execute(&mut holder).await.unwrap();
    let (database, _simulator) = portal.stop().await;
    let kinds: Vec<_> = records_in(&database).await.into_iter().map(|record| record.kind).collect();
    assert_eq!(kinds, ["account.created", "session.started"]);
}
