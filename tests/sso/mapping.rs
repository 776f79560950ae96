//! Roles and groups follow the claim at every sign-in; what is not mapped is the admins' (S-22).

use serde_json::{Value, json};

use crate::harness::Portal;
use crate::trip::{MAPPED, ana, count, portal_with, run, sign_in, text};

fn in_groups(groups: &[&str]) -> Value {
    let mut claims = ana();
    claims["groups"] = json!(groups);
    claims
}

async fn roles(portal: &Portal) -> String {
    let sql = "select array_to_string(roles, ' ') from portal.account where email = 'ana@corp.example'";
    text(portal, sql).await.unwrap()
}

async fn group(portal: &Portal, sql: &'static str) {
    run(portal, sql).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_roles_come_and_go_with_the_claim_and_end_sessions_that_carry_others() {
    // S-22, S-25, S-27
    let (portal, provider) = portal_with(MAPPED).await;
    let first = portal.anonymous();
    sign_in(&first, ("corp", &provider), in_groups(&["leads"])).await;
    assert_eq!(roles(&portal).await, "approver");
    let second = portal.anonymous();
    sign_in(&second, ("corp", &provider), in_groups(&["leads"])).await;
    assert_eq!(first.open("/").await.status, 200, "nothing changed, nothing ends");
    let third = portal.anonymous();
    sign_in(&third, ("corp", &provider), in_groups(&["auditors", "leads"])).await;
    assert_eq!(roles(&portal).await, "approver auditor");
    assert_eq!(first.open("/").await.status, 303, "it began with less");
    let changed = portal.records().await.into_iter().rfind(|record| record.kind == "account.changed").unwrap();
    assert_eq!(changed.payload["roles_before"], json!(["approver"]));
    assert_eq!((&changed.payload["provider"], &changed.payload["sessions_ended"]), (&json!("corp"), &json!(2)));
    // Somebody who is in none of the groups any more stays somebody: they can sign in, and do nothing.
    let fourth = portal.anonymous();
    assert_eq!(sign_in(&fourth, ("corp", &provider), in_groups(&[])).await.status, 303);
    assert_eq!(roles(&portal).await, "");
    assert_eq!(fourth.open("/").await.status, 403);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_mapped_stays_with_the_admins() {
    // S-22
    let (portal, provider) = portal_with("roles = { leads = \"approver\" }").await;
    sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&["leads"])).await;
    run(&portal, "update portal.account set roles = '{approver,auditor}' where email = 'ana@corp.example'").await;
    sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&[])).await;
    assert_eq!(roles(&portal).await, "auditor");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_admin_stays_one_whatever_the_provider_says() {
    // S-35
    let (portal, provider) = portal_with(MAPPED).await;
    sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&["chiefs"])).await;
    assert_eq!(roles(&portal).await, "approver admin");
    sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&["auditors"])).await;
    assert_eq!(roles(&portal).await, "auditor admin", "but the other roles follow");
    portal.create_account("adam", &[countersign::domain::people::Role::Admin]).await;
    sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&["auditors"])).await;
    assert_eq!(roles(&portal).await, "auditor");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_groups_are_joined_and_left_and_an_admins_membership_is_left_alone() {
    // S-22
    let (portal, provider) = portal_with("groups = { leads = \"shop TEAM\", others = \"No such group\" }").await;
    group(
        &portal,
        "insert into portal.people_group (id, name, name_key, created_at)
         values ('0199aa00-0000-7000-8000-000000000001', 'Shop team', 'shop team', now())",
    )
    .await;
    let member = "select count(*) from portal.group_member where until_at is null and given_by = 'sso:corp'";
    sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&["leads", "others"])).await;
    assert_eq!(count(&portal, member).await, 1);
    let kept = portal.records().await.into_iter().rfind(|record| record.kind == "group.changed").unwrap();
    assert_eq!((&kept.payload["what"], &kept.payload["given_by"]), (&json!("member added"), &json!("sso:corp")));
    sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&["leads"])).await;
    assert_eq!(count(&portal, member).await, 1, "once");
    group(
        &portal,
        "insert into portal.group_member (id, group_id, account_id, given_by, from_at)
         select gen_random_uuid(), '0199aa00-0000-7000-8000-000000000001', id, 'admin', now()
         from portal.account where email = 'ana@corp.example'",
    )
    .await;
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), in_groups(&[])).await.status, 303);
    assert_eq!(count(&portal, member).await, 0);
    assert_eq!(count(&portal, "select count(*) from portal.group_member where until_at is null").await, 1);
    assert_eq!(count(&portal, "select count(*) from portal.group_member").await, 2, "what was is not forgotten");
    let kept = portal.records().await.into_iter().rfind(|record| record.kind == "group.changed").unwrap();
    assert_eq!(kept.payload["what"], "member taken out");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_may_lie_deep_in_the_claims() {
    let (portal, provider) =
        portal_with("groups_claim = \"realm_access.roles\"\nroles = { leads = \"auditor\" }").await;
    let mut claims = in_groups(&[]);
    claims["realm_access"] = json!({ "roles": ["leads", "offline_access"] });
    assert_eq!(sign_in(&portal.anonymous(), ("corp", &provider), claims).await.status, 303);
    assert_eq!(roles(&portal).await, "auditor");
    portal.finish().await;
}
