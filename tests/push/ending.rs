//! When a browser is told nothing more.

use std::net::SocketAddr;
use std::sync::Arc;

use countersign::accounts::By;
use countersign::domain::people::Role;
use countersign::push::Said;
use countersign::wire;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use sqlx::Connection as _;

use crate::harness::email;
use crate::service::{Answer, Phone};
use crate::stage::{MINUTE, Stage, renew};

const BROWSERS: &str = "select count(*) from portal.push_browser";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_gone_is_told_nothing_more() {
    for status in [404, 410] {
        let stage = Stage::start().await;
        let (_ana, _phone) = stage.approver("ana").await;
        stage.service.answers(Answer::status(status));
        stage.portal.waiting("shop").await;
        stage.tell().await;
        assert_eq!(stage.count(BROWSERS).await, 0, "{status}");
        let ended = stage.portal.records_of("push.ended").await;
        assert_eq!(ended.len(), 1);
        assert_eq!(
            (ended[0].actor.as_str(), &ended[0].payload["why"]),
            ("system", &"gone, as its push service says".into())
        );
        stage.portal.waiting("blog").await;
        stage.tell().await;
        assert_eq!(stage.service.asked().len(), 1);
        stage.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_renewed_while_its_old_address_is_found_gone_goes_on() {
    let stage = Stage::start().await;
    let (_ana, old) = stage.approver("ana").await;
    let new = Phone::new("new");
    stage.service.answers(Answer::status(410));
    stage.service.hold();
    stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(MINUTE);
    stage.write().await;
    let push = stage.push.clone();
    let sending = tokio::spawn(async move { push.send().await });
    stage.service.until_asked().await;
    assert_eq!(renew(&stage.portal.anonymous(), (&old, &old.secret()), &new).await.status, 204);
    stage.service.go_on();
    assert_eq!(sending.await.unwrap().unwrap(), 1);
    assert_eq!(stage.count(BROWSERS).await, 1);
    stage.service.answers(Answer::status(201));
    stage.pass(MINUTE * 2, MINUTE).await;
    assert_eq!(new.told(&stage.service).len(), 1, "what waited too");
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disabled_deleted_or_signed_out_everywhere_is_told_nothing_more() {
    // S-27
    for how in ["disabled", "deleted", "signed out by themselves", "signed out by an admin"] {
        let stage = Stage::start().await;
        let (ana, phone) = stage.approver("ana").await;
        let admin = stage.portal.as_admin().await;
        let id = stage.portal.state.accounts.find_by_email(&email("ana")).await.unwrap().unwrap();
        stage.portal.waiting("shop").await;
        stage.write().await;
        stage.portal.advance(crate::stage::GATHERED);
        stage.write().await;
        assert_eq!(stage.waiting_messages().await, 1);
        match how {
            "disabled" => stage.portal.disable("ana").await,
            "deleted" => assert!(stage.portal.state.accounts.delete(&By::Operator, id).await.unwrap()),
            "signed out by themselves" => {
                let page = ana.open("/me").await;
                assert_eq!(ana.submit(&page, "/me/sessions/end-all", &[]).await.status, 303);
            }
            _ => {
                let path = format!("/admin/accounts/{id}");
                let page = admin.open(&path).await;
                assert_eq!(admin.submit(&page, &format!("{path}/sessions/end"), &[]).await.status, 303);
            }
        }
        assert_eq!((stage.count(BROWSERS).await, stage.waiting_messages().await), (0, 0), "{how}");
        stage.pass(MINUTE * 5, MINUTE).await;
        assert!(phone.told(&stage.service).is_empty(), "{how}");
        stage.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_that_alone_were_left_to_end_leave_a_record_too() {
    let stage = Stage::start().await;
    let admin = stage.portal.as_admin().await;
    let (ana, _phone) = stage.approver("ana").await;
    let id = stage.portal.state.accounts.find_by_email(&email("ana")).await.unwrap().unwrap();
    let path = format!("/admin/accounts/{id}");
    let seen = admin.open(&path).await;
    // Meanwhile she signs out herself.
    let page = ana.open("/me").await;
    ana.submit(&page, "/sign-out", &[]).await;
    let before = stage.portal.records_of("session.ended").await.len();
    assert_eq!(admin.submit(&seen, &format!("{path}/sessions/end"), &[]).await.status, 303);
    assert_eq!(stage.count(BROWSERS).await, 0);
    let ended = stage.portal.records_of("session.ended").await.split_off(before);
    assert_eq!(ended.len(), 1);
    assert_eq!((&ended[0].payload["sessions_ended"], &ended[0].payload["browsers_ended"]), (&0.into(), &1.into()));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ending_other_sessions_ends_what_was_turned_on_in_them() {
    let stage = Stage::start().await;
    let (_thief, stolen) = stage.approver("ana").await;
    let ana = stage.portal.sign_in("ana").await;
    let hers = Phone::new("hers");
    stage.turn_on(&ana, &hers).await;
    let page = ana.open("/me").await;
    assert_eq!(ana.submit(&page, "/me/sessions/end-others", &[]).await.status, 303);
    stage.portal.waiting("shop").await;
    stage.tell().await;
    assert_eq!((hers.told(&stage.service).len(), stolen.told(&stage.service).len()), (1, 0));
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_one_browser_leaves_it_on() {
    let stage = Stage::start().await;
    let (ana, phone) = stage.approver("ana").await;
    let page = ana.open("/me").await;
    ana.submit(&page, "/sign-out", &[]).await;
    stage.portal.waiting("shop").await;
    stage.tell().await;
    assert_eq!(phone.told(&stage.service).len(), 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_somebody_else_turns_it_on_in_is_theirs() {
    let stage = Stage::start().await;
    let (ana, phone) = stage.approver("ana").await;
    let ben = stage.portal.as_person("ben", &[Role::Auditor]).await;
    stage.turn_on(&ben, &phone).await;
    ana.open("/me/notifications").await.says("It is on in none of your browsers.");
    ben.open("/me/notifications").await.says("push.service.example");
    stage.portal.waiting("shop").await;
    stage.tell().await;
    assert!(phone.told(&stage.service).is_empty(), "what waits for Ana is none of Ben's");
    let started = stage.portal.records_of("push.started").await;
    assert_eq!(started.len(), 2);
    assert_eq!(started[1].payload["taken_from"], started[0].payload["person"]);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_the_operator_took_off_the_list_is_asked_for_nothing() {
    let stage = Stage::start().await;
    let (_ana, _phone) = stage.approver("ana").await;
    let mut config = (*stage.portal.state.config).clone();
    config.push.services = vec![countersign::domain::hosts::HostPattern::try_from("other.example".to_owned()).unwrap()];
    let state = &stage.portal.state;
    let push = countersign::push::Push::open(&config, &state.accounts, &state.database, (&state.clock, &state.random));
    let push = push.unwrap().by_way_of(stage.service.client()).unwrap();
    stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(crate::stage::GATHERED);
    stage.write().await;
    assert_eq!(push.send().await.unwrap(), 1);
    assert_eq!((stage.service.connections(), stage.waiting_messages().await), (0, 0));
    stage.finish().await;
}

/// A name server of whoever wants the portal to ask inside.
struct Names(SocketAddr);

impl Resolve for Names {
    fn resolve(&self, _name: Name) -> Resolving {
        let found: Addrs = Box::new(std::iter::once(self.0));
        Box::pin(async move { Ok(found) })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_name_leads_inside_is_not_connected_to() {
    // U-13: the host is allowed, and its name leads to loopback.
    let stage = Stage::start().await;
    let (_ana, phone) = stage.approver("ana").await;
    stage.portal.waiting("shop").await;
    stage.write().await;
    stage.portal.advance(crate::stage::GATHERED);
    stage.write().await;
    let inside = wire::strangers_by(Arc::new(Names(stage.service.address())));
    assert_eq!(stage.portal.state.push.by_way_of(inside).unwrap().send().await.unwrap(), 1);
    assert!(phone.told(&stage.service).is_empty());
    assert_eq!((stage.service.connections(), stage.waiting_messages().await), (0, 1), "tried again later");
    let why = "select count(*) from portal.push_message where last_error like '%an address that is not public%'";
    assert_eq!(stage.count(why).await, 1);
    stage.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_ended_while_its_service_renews_it_is_ended() {
    // S-27: whoever signs out everywhere cuts off also what is given another address at that moment.
    let stage = Stage::start().await;
    let (ana, old) = stage.approver("ana").await;
    let new = Phone::new("new");
    stage.portal.advance(MINUTE);
    let page = ana.open("/me").await;
    let mut conn = stage.portal.database.connect_superuser().await;
    let mut tx = conn.begin().await.unwrap();
    sqlx::query("select from portal.push_browser for update").execute(&mut *tx).await.unwrap();
    let waiting = async |many: i64| {
        let sql =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        while stage.count(sql).await < many {
            tokio::task::yield_now().await;
        }
    };
    let renewing = async {
        let ((address, key, secret), (to, its_key, its_secret)) =
            ((old.address(), old.key(), old.secret()), (new.address(), new.key(), new.secret()));
        let old = Said { address: &address, key: &key, secret: &secret };
        let new = Said { address: &to, key: &its_key, secret: &its_secret };
        assert!(stage.portal.state.push.renew(old, new).await.unwrap());
    };
    let ending = async {
        waiting(1).await;
        assert_eq!(ana.submit(&page, "/me/sessions/end-all", &[]).await.status, 303);
    };
    let letting_go = async {
        waiting(2).await;
        tx.rollback().await.unwrap();
    };
    tokio::join!(renewing, ending, letting_go);
    assert_eq!(stage.count(BROWSERS).await, 0);
    stage.finish().await;
}
