//! `/events`: a page that is open hears that something changed, for as long as its person may look (P-11, S-26, S-27).
//! Hearing is done by hand here; `tests/replicas` lets it run.

use std::time::Duration;

use countersign::accounts::By;
use countersign::domain::people::{Role, Roles};
use countersign::hints::{Topic, WAITING};
use jiff::SignedDuration;
use reqwest::Method;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::harness::{Portal, email, password};

/// A portal that has read AWS once and heard of that.
async fn started() -> Portal {
    let portal = Portal::start().await;
    portal.watcher.activate().await;
    portal.state.hearing.look().await.unwrap();
    portal
}

/// Waits for what the server finds out by itself, such as a connection that was closed.
async fn until(what: &str, at_most: Duration, mut is_so: impl FnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    let asking = async {
        while !is_so() {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(at_most, asking).await.unwrap_or_else(|_| panic!("in vain: {what}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_page_hears_when_an_approval_opens_is_decided_and_ends() {
    let portal = started().await;
    let ana = portal.as_approver("ana").await;
    // That Ana may decide changes what is on many pages.
    portal.state.hearing.look().await.unwrap();
    let mut ears = ana.listen().await;
    assert_eq!(ears.header("content-type"), Some("text/event-stream"));
    assert_eq!(ears.header("cache-control"), Some("no-store"));
    assert_eq!(ears.header("x-accel-buffering"), Some("no"));
    assert_eq!(ears.header("content-encoding"), None, "nothing may collect it before it is sent");

    portal.waiting("shop").await;
    let shop = portal.approval_id("shop").await;
    portal.state.hearing.look().await.unwrap();
    // An id and no name (S-31).
    ears.until(&format!("approval {shop}")).await;

    let path = format!("/approvals/{shop}");
    let page = ana.open(&path).await;
    let fields = [("verdict", "approved"), ("summary", "Looks right")];
    ana.submit(&page, &format!("{path}/decision"), &fields).await;
    portal.state.hearing.look().await.unwrap();
    assert_eq!(ears.next().await.unwrap(), format!("approval {shop}"), "however many steps it took");

    let blog = portal.waiting("blog").await;
    let id = portal.approval_id("blog").await;
    portal.state.hearing.look().await.unwrap();
    ears.until(&format!("approval {id}")).await;
    portal.world().expire(&blog);
    portal.advance(SignedDuration::from_secs(30));
    portal.watcher.activate().await;
    portal.state.hearing.look().await.unwrap();
    ears.until(&format!("approval {id}")).await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_blind_and_sees_again_is_heard_of() {
    let portal = started().await;
    let mut ears = portal.as_auditor().await.listen().await;
    let denied = portal.world().deny("ListPipelines", None);
    portal.watcher.activate().await;
    assert!(portal.state.hearing.look().await.unwrap() > 0);
    ears.until("queue").await;
    portal.simulator.release(denied);
    portal.simulator.clear_faults();
    portal.watcher.activate().await;
    assert!(portal.state.hearing.look().await.unwrap() > 0);
    ears.until("queue").await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_seventh_stream_of_a_session_is_refused_and_a_place_that_was_left_is_free() {
    let portal = started().await;
    let ana = portal.as_approver("ana").await;
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(ana.listen().await);
    }
    let refused = ana.fetch("/events").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("30")));
    refused.says("Too many pages of this session are open at once.");
    assert_eq!(portal.sign_in_again("ana").await.fetch("/events").await.status, 200, "another session has its own");
    drop(open);
    until("places are free again", Duration::from_secs(30), || portal.state.streams.count() == 0).await;
    assert_eq!(ana.fetch("/events").await.status, 200);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_right_to_look_and_nobody_elses_does() {
    // S-27: sign out, disabled, another role, another password, by an admin. The check runs every 3 s in `duties`.
    let portal = started().await;
    let ben = portal.as_approver("ben").await;
    let mut other = ben.listen().await;
    for how in ["signs out", "is disabled", "loses the role", "gets another password", "is signed out by an admin"] {
        let name = how.replace(' ', "-");
        let ana = portal.as_approver(&name).await;
        let ears = ana.listen().await;
        let accounts = &portal.state.accounts;
        let id = accounts.find_by_email(&email(&name)).await.unwrap().unwrap();
        match how {
            "signs out" => {
                let page = ana.open("/me").await;
                assert_eq!(ana.submit(&page, "/sign-out", &[]).await.status, 303);
            }
            "is disabled" => portal.disable(&name).await,
            "loses the role" => {
                accounts.change_roles(&By::Operator, id, Roles::default()).await.unwrap();
            }
            "gets another password" => {
                accounts.reset_password(&By::Operator, id, None).await.unwrap();
            }
            _ => assert_eq!(accounts.end_sessions_of(&By::Operator, id).await.unwrap(), 1),
        }
        assert_eq!(portal.state.streams.end_over(accounts).await.unwrap(), 1, "{how}");
        ears.end().await;
        assert!(matches!(ana.fetch("/events").await.status, 401), "{how}");
    }
    portal.waiting("shop").await;
    portal.state.hearing.look().await.unwrap();
    other.until(&format!("approval {}", portal.approval_id("shop").await)).await;
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_only_open_keeps_nobody_signed_in() {
    // S-26
    let portal = started().await;
    let ana = portal.as_approver("ana").await;
    portal.advance(SignedDuration::from_mins(20));
    // Also not a program that does not say what it fetches for.
    assert_eq!(ana.send("/events", ana.request(Method::GET, "/events")).await.status, 200);
    let ears = ana.listen().await;
    assert_eq!(portal.state.streams.end_over(&portal.state.accounts).await.unwrap(), 0);
    portal.advance(SignedDuration::from_mins(11));
    assert!(portal.state.streams.end_over(&portal.state.accounts).await.unwrap() > 0);
    ears.end().await;
    assert_eq!(ana.open("/").await.location(), Some("/sign-in"));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_must_change_their_password_hears_nothing_before() {
    let portal = started().await;
    let id = portal.create_account("ana", &[Role::Approver]).await;
    let made_up = portal.state.accounts.reset_password(&By::Operator, id, None).await.unwrap().unwrap();
    let ana = portal.anonymous();
    let page = ana.open("/sign-in").await;
    let made_up = secrecy::ExposeSecret::expose_secret(&made_up).to_owned();
    ana.submit(&page, "/sign-in", &[("email", &email("ana")), ("password", &made_up)]).await;
    assert_eq!(ana.fetch("/events").await.status, 403);
    assert_ne!(password("ana"), made_up);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_stops_ends_its_streams_in_good_order() {
    // P-20
    let portal = started().await;
    let ana = portal.as_approver("ana").await;
    let (first, second) = (ana.listen().await, ana.listen().await);
    portal.state.streams.leave();
    first.end().await;
    let refused = ana.fetch("/events").await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert_eq!(ana.open("/").await.status, 200, "everything else is answered until the end");
    portal.stop().await;
    second.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_never_reads_costs_a_few_hints_and_is_gone_within_a_minute() {
    // P-11: nothing of the stream's own runs while its socket is full.
    let portal = started().await;
    let ana = portal.as_approver("ana").await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stalled = socket.connect(portal.address()).await.unwrap();
    let cookie = ana.cookie("countersign").unwrap();
    let host = portal.address();
    let request = format!("GET /events HTTP/1.1\r\nHost: {host}\r\nCookie: countersign={cookie}\r\n\r\n");
    stalled.write_all(request.as_bytes()).await.unwrap();
    until("it listens", Duration::from_secs(30), || portal.state.streams.count() == 1).await;
    let hints = portal.state.hearing.hints().clone();
    // More than every buffer on the way holds, as fast as somebody who reads could take it.
    let telling = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(1));
        loop {
            ticks.tick().await;
            (0..WAITING).for_each(|_| hints.tell(Topic::Queue));
        }
    });
    until("it is hung up on", Duration::from_secs(60), || portal.state.streams.count() == 0).await;
    telling.abort();
    drop(stalled);
    portal.finish().await;
}
