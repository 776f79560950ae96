//! What belongs to others looks like what does not exist (S-31): the same status, the same bytes, and nothing done to it.

use countersign::accounts::By;
use countersign::domain::people::Role;
use countersign::domain::tokens::Scope;
use uuid::Uuid;

use crate::factors::portal_with_a_name;
use crate::harness::{Browser, Page, Portal, email};

/// Nobody's and nothing's.
const NOTHING: &str = "0199aa00-0000-7000-8000-000000000000";

/// Everything an answer tells: status, headers and body. What differs from one answer to the next of the same thing is
/// blotted out: the request's number, the form's token, and the time.
fn told(page: &Page) -> (u16, Vec<(String, String)>, String) {
    let mut body = page.body.replace(page.header("x-request-id").unwrap(), "NUMBER");
    if body.contains("name=\"csrf\"") {
        body = body.replace(&page.csrf(), "TOKEN");
    }
    let passing = ["x-request-id", "date"];
    let headers = page.headers.iter().filter(|(name, _)| !passing.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    (page.status, headers.collect(), body)
}

/// Asks for both, and compares to the byte.
async fn alike(browser: &Browser, status: u16, template: &str, foreign: &str, fields: &[(&str, &str)]) {
    let mut answers = Vec::new();
    for id in [foreign, NOTHING] {
        let path = template.trim_start_matches("GET ").replace("{it}", id);
        let page = if template.starts_with("GET ") {
            browser.open(&path).await
        } else {
            let csrf = browser.open("/me").await.csrf();
            let all: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(fields.iter().copied()).collect();
            browser.post(&path, &all).await
        };
        answers.push(told(&page));
    }
    assert_eq!(answers[0].0, status, "{template}: {}", answers[0].2);
    assert!(answers[0] == answers[1], "{template}: {answers:#?}");
}

/// One id from the database.
async fn id_of(portal: &Portal, sql: &'static str, of: &str) -> String {
    let mut conn = portal.database.connect_superuser().await;
    let id: Uuid = sqlx::query_scalar(sql).bind(email(of)).fetch_one(&mut conn).await.unwrap();
    id.to_string()
}

async fn account_of(portal: &Portal, name: &str) -> String {
    portal.state.accounts.find_by_email(&email(name)).await.unwrap().unwrap().to_string()
}

const SESSION: &str =
    "select s.id from portal.session s join portal.account a on a.id = s.account_id where a.email = $1 limit 1";
const TOKEN: &str =
    "select t.id from portal.api_token t join portal.account a on a.id = t.account_id where a.email = $1";
const PASSKEY: &str =
    "select p.id from portal.passkey p join portal.account a on a.id = p.account_id where a.email = $1";
const GRANT: &str =
    "select g.id from portal.access_grant g join portal.account a on a.id = g.account_id where a.email = $1";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_somebody_elses_is_not_there() {
    let portal = portal_with_a_name().await;
    let (ana, ben) = (portal.as_approver("ana").await, portal.as_approver("ben").await);
    ben.add_passkey("Ben's key").await;
    portal.token_of("ben", Scope::Read).await;
    let (cleo, dan) = (portal.create_account("cleo", &[Role::Approver]).await, portal.as_approver("dan").await);
    let stand_in = Uuid::from_u128(0x5_0000);
    sqlx::query(
        "insert into portal.stand_in (id, for_account, by_account, from_at, until_at, made_at)
         select $1, $2, a.id, '2026-11-20T00:00:00Z', '2026-11-27T00:00:00Z', '2026-11-20T00:00:00Z'
         from portal.account a where a.email = $3",
    )
    .bind(stand_in)
    .bind(cleo.0)
    .bind(email("dan"))
    .execute(&mut portal.database.connect_superuser().await)
    .await
    .unwrap();

    let session = id_of(&portal, SESSION, "ben").await;
    alike(&ana, 404, "/me/sessions/{it}/end", &session, &[]).await;
    let token = id_of(&portal, TOKEN, "ben").await;
    alike(&ana, 404, "/me/tokens/{it}/revoke", &token, &[]).await;
    let passkey = id_of(&portal, PASSKEY, "ben").await;
    alike(&ana, 404, "/me/factors/passkeys/{it}/rename", &passkey, &[("name", "Mine now")]).await;
    alike(&ana, 404, "/me/factors/passkeys/{it}/remove", &passkey, &[]).await;
    alike(&ana, 404, "/me/stand-ins/{it}/end", &stand_in.to_string(), &[]).await;
    // Whoever stands in does not end it either: it is the other one's.
    alike(&dan, 404, "/me/stand-ins/{it}/end", &stand_in.to_string(), &[]).await;

    assert_eq!(ben.open("/me").await.status, 200);
    ben.open("/me/factors").await.says("Ben's key");
    let untouched: bool = sqlx::query_scalar(
        "select (select revoked_at is null from portal.api_token) and (select ended_at is null from portal.stand_in)",
    )
    .fetch_one(&mut portal.database.connect_superuser().await)
    .await
    .unwrap();
    assert!(untouched);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_is_found_under_its_own_approval_and_a_record_by_whom_it_is_for() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    portal.waiting("blog").await;
    let (ana, ben) = (portal.as_approver("ana").await, portal.as_approver("ben").await);
    let sent = ben.decide(&portal, "shop", "approved", "Looks right").await;
    let result = sent.location().unwrap().to_owned();
    assert_eq!(ana.open(&result).await.status, 200, "colleagues see what was decided");
    let decision = result.rsplit('/').next().unwrap();
    let blog = portal.approval_id("blog").await;
    alike(&ana, 404, &format!("GET /approvals/{blog}/result/{{it}}"), decision, &[]).await;
    alike(&ana, 404, "GET /approvals/{it}", &account_of(&portal, "ben").await, &[]).await;
    let started = portal.records_of("session.started").await.remove(0).seq;
    let answers = [ana.open(&format!("/history/{started}")).await, ana.open("/history/999999").await];
    assert_eq!(answers[0].status, 404);
    assert!(told(&answers[0]) == told(&answers[1]), "{:#?}", answers.map(|page| told(&page)));
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_no_admin_cannot_tell_an_account_group_or_grant_from_none() {
    let portal = Portal::start().await;
    let adam = portal.as_admin().await;
    portal.create_account("ben", &[Role::Approver]).await;
    let page = adam.open("/admin/groups").await;
    let made = adam.submit(&page, "/admin/groups", &[("name", "Shop"), ("note", "")]).await;
    let group = made.location().unwrap().rsplit('/').next().unwrap().to_owned();
    let (ben, grant) = (account_of(&portal, "ben").await, id_of(&portal, GRANT, "ben").await);
    let (ana, audrey) = (portal.as_approver("ana").await, portal.as_auditor().await);
    for browser in [&ana, &audrey] {
        alike(browser, 403, "GET /admin/accounts/{it}", &ben, &[]).await;
        for act in ["disable", "enable", "invite", "reset", "compromised", "factors/reset", "sessions/end"] {
            alike(browser, 403, &format!("/admin/accounts/{{it}}/{act}"), &ben, &[]).await;
        }
        alike(browser, 403, "/admin/access/grants/{it}/end", &grant, &[]).await;
        alike(browser, 403, "/admin/groups/{it}/remove", &group, &[]).await;
    }
    alike(&ana, 403, "GET /admin/groups/{it}", &group, &[]).await;
    assert_eq!(audrey.open(&format!("/admin/groups/{group}")).await.status, 200, "who oversees sees it");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn for_an_admin_too_a_thing_is_only_where_it_belongs() {
    let portal = Portal::start().await;
    let (adam, _ben) = (portal.as_admin().await, portal.as_approver("ben").await);
    portal.create_account("ana", &[Role::Approver]).await;
    portal.token_of("ben", Scope::Read).await;
    let ana = account_of(&portal, "ana").await;
    let session = id_of(&portal, SESSION, "ben").await;
    alike(&adam, 404, &format!("/admin/accounts/{ana}/sessions/{{it}}/end"), &session, &[]).await;
    let token = id_of(&portal, TOKEN, "ben").await;
    alike(&adam, 404, &format!("/admin/accounts/{ana}/tokens/{{it}}/revoke"), &token, &[]).await;
    // A session is no account, and an account no group.
    alike(&adam, 404, "GET /admin/accounts/{it}", &session, &[]).await;
    alike(&adam, 404, "/admin/accounts/{it}/disable", &token, &[]).await;
    alike(&adam, 404, "GET /admin/groups/{it}", &ana, &[]).await;
    let alive = "select count(*) from portal.session s join portal.account a on a.id = s.account_id where a.email = $1";
    let mut conn = portal.database.connect_superuser().await;
    assert_eq!(sqlx::query_scalar::<_, i64>(alive).bind(email("ben")).fetch_one(&mut conn).await.unwrap(), 1);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_over_or_its_persons_who_is_disabled_is_told_what_a_made_up_one_is() {
    let portal = Portal::start().await;
    let mut tokens = vec![countersign::domain::tokens::write(&[7; 32]).to_string()];
    for name in ["rita", "olga", "dora"] {
        portal.create_account(name, &[Role::Approver]).await;
        tokens.push(portal.token_of(name, Scope::Read).await);
    }
    let mut conn = portal.database.connect_superuser().await;
    for (change, name) in [("revoked_at = t.created_at", "rita"), ("expires_at = t.created_at", "olga")] {
        let sql = format!(
            "update portal.api_token t set {change} from portal.account a where a.id = t.account_id and a.email = $1"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(email(name)).execute(&mut conn).await.unwrap();
    }
    let dora = portal.state.accounts.find_by_email(&email("dora")).await.unwrap().unwrap();
    portal.state.accounts.disable(&By::Operator, dora).await.unwrap();
    let mut answers = Vec::new();
    for token in &tokens {
        let program = portal.anonymous();
        let request = program.request(reqwest::Method::GET, "/api/v1/me").bearer_auth(token);
        answers.push(told(&program.send("/api/v1/me", request).await));
    }
    assert_eq!(answers[0].0, 401);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    portal.finish().await;
}
