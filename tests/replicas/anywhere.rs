//! Nothing is sticky (H-07): every step of what a person does may reach another replica.

use countersign::domain::people::Role;
use jiff::SignedDuration;

use crate::harness::{Portal, email, password};

#[tokio::test(flavor = "multi_thread")]
async fn each_step_from_signing_in_to_signing_out_may_reach_another_replica() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    portal.create_account("ana", &[Role::Approver]).await;
    let (b, c) = (portal.replica().await, portal.replica().await);
    let path = format!("/approvals/{}", portal.approval_id("shop").await);

    // The form of one replica, its token and its cookie are taken by another.
    let at_a = portal.anonymous();
    let form = at_a.open("/sign-in").await;
    let at_b = b.sees(&at_a);
    let signed_in = at_b.submit(&form, "/sign-in", &[("email", &email("ana")), ("password", &password("ana"))]).await;
    assert_eq!((signed_in.status, signed_in.location()), (303, Some("/")));
    let at_c = c.sees(&at_b);
    at_c.open("/").await.says("1 approval waits for a decision.");
    let page = at_c.at(portal.address()).open(&path).await;
    let fields = [("verdict", "approved"), ("summary", "Looks right")];
    let action = format!("{path}/decision");
    let told = at_b.submit(&page, &action, &fields).await;
    assert_eq!(told.status, 303, "{}", told.text());
    let result = told.location().unwrap().to_owned();
    at_c.open(&result).await.says("Approved at AWS");
    // The same form once more, elsewhere: the same decision (D-03).
    let again = at_c.submit(&page, &action, &fields).await;
    assert_eq!((again.status, again.location()), (303, Some(result.as_str())));
    assert_eq!(portal.simulator.count("PutApprovalResult"), 1);

    let me = b.sees(&at_b).open("/me").await;
    let out = c.sees(&at_b).submit(&me, "/sign-out", &[]).await;
    assert_eq!(out.status, 303);
    for everywhere in [at_b.at(portal.address()), at_b, at_c] {
        assert_eq!(everywhere.open(&path).await.status, 303, "signed out at every replica at once (S-27)");
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_and_waits_hold_over_all_replicas() {
    // Failed tries are counted where everybody sees them (S-11).
    let portal = Portal::start().await;
    portal.create_account("ana", &[Role::Approver]).await;
    let others = [portal.replica().await, portal.replica().await];
    let mut statuses = Vec::new();
    for attempt in 0..12 {
        let browser = portal.anonymous();
        let browser = if attempt % 3 == 0 { browser } else { others[attempt % 3 - 1].sees(&browser) };
        let form = browser.open("/sign-in").await;
        let fields = [("email", email("ana")), ("password", "not the password at all".to_owned())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        statuses.push(browser.submit(&form, "/sign-in", &fields).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_used_a_hundred_times_in_a_minute_is_written_down_once() {
    // H-09, at any replica.
    let portal = Portal::start().await;
    let b = portal.replica().await;
    let ana = portal.as_approver("ana").await;
    portal.advance(SignedDuration::from_mins(2));
    let mut dba = portal.database.connect_superuser().await;
    let mut versions = std::collections::BTreeSet::new();
    let writings =
        "select s.xmin::text || ' ' || a.xmin::text from portal.session s join portal.account a on a.id = s.account_id";
    for request in 0..100 {
        let browser = if request % 2 == 0 { ana.copy() } else { b.sees(&ana) };
        assert_eq!(browser.open("/me").await.status, 200);
        versions.insert(sqlx::query_scalar::<_, String>(writings).fetch_one(&mut dba).await.unwrap());
        portal.advance(SignedDuration::from_millis(590));
    }
    assert_eq!(versions.len(), 1, "by the first of them");
    portal.advance(SignedDuration::from_secs(2));
    ana.open("/me").await;
    versions.insert(sqlx::query_scalar::<_, String>(writings).fetch_one(&mut dba).await.unwrap());
    assert_eq!(versions.len(), 2, "and once more in the next minute");
    portal.finish().await;
}
