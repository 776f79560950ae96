//! Who may do what (S-30): every route, as everybody. The expectations are written down once, here; a route that is not
//! in the list fails the test.

use std::collections::BTreeSet;

use countersign::domain::people::Role;
use countersign::domain::tokens::Scope;
use countersign::web::routes::{self, Kind, Route};
use reqwest::Method;

use crate::harness::{Browser, Page, Portal};

/// Statuses for: nobody, no role, approver, approver without any grant, approver whose grant is for another gate, auditor,
/// admin, admin without a second factor, admin whose last proof was six minutes ago, disabled since signing in.
type Expected = [u16; 10];

#[rustfmt::skip]
const MATRIX: &[(&str, &str, Expected)] = &[
    ("GET",  "/",                                   [303, 403, 200, 200, 200, 200, 200, 303, 200, 303]),
    ("GET",  "/approvals/{id}",                     [303, 403, 200, 200, 200, 200, 200, 303, 200, 303]),
    // 400: let in, and then told that the form lacks its fields.
    ("POST", "/approvals/{id}/decision",            [401, 403, 400, 400, 400, 403, 403, 403, 403, 401]),
    ("POST", "/approvals/{id}/challenge",           [401, 403, 400, 400, 400, 403, 403, 403, 403, 401]),
    // 404: let in, and then told that there is no such decision.
    ("GET",  "/approvals/{id}/result/{decision}",   [303, 403, 404, 404, 404, 404, 404, 303, 404, 303]),
    // 404: everybody may try, and nobody's mail is this one (L-08).
    ("GET",  "/l/{code}",                           [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET",  "/link/{id}",                          [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST", "/link/{id}",                          [400, 400, 400, 400, 400, 400, 400, 400, 400, 400]),
    ("POST", "/link/{id}/renew",                    [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET",  "/link/{id}/result",                   [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET",  "/history",                            [303, 403, 200, 200, 200, 200, 200, 303, 200, 303]),
    // Record 1 is about an account, which is none of an approver's business (S-31).
    ("GET",  "/history/{seq}",                      [303, 403, 404, 404, 404, 200, 200, 303, 200, 303]),
    ("GET",  "/sign-in",                            [200, 303, 303, 303, 303, 303, 303, 303, 303, 200]),
    ("POST", "/sign-in",                            [400, 400, 400, 400, 400, 400, 400, 400, 400, 400]),
    // Nobody here is in the middle of signing in.
    ("GET",  "/sign-in/second",                     [303, 303, 303, 303, 303, 303, 303, 303, 303, 303]),
    ("POST", "/sign-in/second",                     [401, 401, 401, 401, 401, 401, 401, 401, 401, 401]),
    ("POST", "/sign-in/second/challenge",           [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST", "/sign-in/passkey",                    [401, 401, 401, 401, 401, 401, 401, 401, 401, 401]),
    // This portal is reached by an IP address, where there are no passkeys.
    ("POST", "/sign-in/passkey/challenge",          [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET",  "/step-up",                            [303, 200, 200, 200, 200, 200, 200, 200, 200, 303]),
    // 401: also who is signed in has shown nothing.
    ("POST", "/step-up",                            [401, 401, 401, 401, 401, 401, 401, 401, 401, 401]),
    ("POST", "/step-up/challenge",                  [401, 404, 404, 404, 404, 404, 404, 404, 404, 401]),
    ("POST", "/sign-out",                           [401, 303, 303, 303, 303, 303, 303, 303, 303, 401]),
    ("GET",  "/forgot",                             [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("POST", "/forgot",                             [400, 400, 400, 400, 400, 400, 400, 400, 400, 400]),
    // 404: everybody may try, and nobody's code is this one (S-31).
    ("GET",  "/reset/{code}",                       [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST", "/reset/{code}",                       [400, 400, 400, 400, 400, 400, 400, 400, 400, 400]),
    ("GET",  "/invite/{code}",                      [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST", "/invite/{code}",                      [400, 400, 400, 400, 400, 400, 400, 400, 400, 400]),
    ("POST", "/invite/{code}/challenge",            [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    // 404: let in, and then told that there is no such provider.
    ("POST", "/sign-in/sso/{provider}",             [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET",  "/sign-in/sso/{provider}/back",        [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST", "/step-up/sso/{provider}",             [401, 404, 404, 404, 404, 404, 404, 404, 404, 401]),
    // There are accounts, so there is no set-up (S-07).
    ("GET",  "/setup",                              [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST", "/setup",                              [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET",  "/me",                                 [303, 200, 200, 200, 200, 200, 200, 200, 200, 303]),
    ("POST", "/me/name",                            [401, 400, 400, 400, 400, 400, 400, 400, 400, 401]),
    ("POST", "/me/time-zone",                       [401, 400, 400, 400, 400, 400, 400, 400, 400, 401]),
    ("GET",  "/me/notifications",                   [303, 200, 200, 200, 200, 200, 200, 200, 200, 303]),
    ("POST", "/me/notifications",                   [401, 400, 400, 400, 400, 400, 400, 400, 400, 401]),
    // 404: let in, and then told that it is off, or that no such browser is theirs.
    ("POST", "/me/notifications/push",              [401, 400, 400, 400, 400, 400, 400, 400, 400, 401]),
    ("POST", "/me/notifications/push/{id}/stop",    [401, 404, 404, 404, 404, 404, 404, 404, 404, 401]),
    ("POST", "/me/notifications/push/{id}/test",    [401, 404, 404, 404, 404, 404, 404, 404, 404, 401]),
    ("GET",  "/me/access",                          [303, 200, 200, 200, 200, 200, 200, 200, 200, 303]),
    ("POST", "/me/password",                        [401, 400, 400, 400, 400, 400, 400, 400, 400, 401]),
    // 404: let in, and then told that no such session is theirs.
    ("POST", "/me/sessions/{id}/end",               [401, 404, 404, 404, 404, 404, 404, 404, 404, 401]),
    ("POST", "/me/sessions/end-others",             [401, 303, 303, 303, 303, 303, 303, 303, 303, 401]),
    ("POST", "/me/sessions/end-all",                [401, 303, 303, 303, 303, 303, 303, 303, 303, 401]),
    ("GET",  "/me/factors",                         [303, 200, 200, 200, 200, 200, 200, 200, 200, 303]),
    ("GET",  "/me/factors/totp",                    [303, 303, 303, 303, 303, 303, 303, 303, 303, 303]),
    ("POST", "/me/factors/totp",                    [401, 303, 303, 303, 303, 303, 303, 303, 403, 401]),
    ("POST", "/me/factors/totp/confirm",            [401, 400, 400, 400, 400, 400, 400, 400, 403, 401]),
    // 409: an admin keeps a second factor.
    ("POST", "/me/factors/totp/remove",             [401, 303, 303, 303, 303, 303, 409, 303, 403, 401]),
    // 422: who has no second factor has nothing to recover.
    ("POST", "/me/factors/recovery",                [401, 422, 422, 422, 422, 422, 200, 422, 403, 401]),
    ("POST", "/me/factors/passkeys",                [401, 422, 422, 422, 422, 422, 422, 422, 403, 401]),
    ("POST", "/me/factors/passkeys/challenge",      [401, 404, 404, 404, 404, 404, 404, 404, 403, 401]),
    ("POST", "/me/factors/passkeys/{id}/rename",    [401, 400, 400, 400, 400, 400, 400, 400, 403, 401]),
    // 404: let in, and then told that no such passkey is theirs.
    ("POST", "/me/factors/passkeys/{id}/remove",    [401, 404, 404, 404, 404, 404, 404, 404, 403, 401]),
    ("GET",  "/me/tokens",                          [303, 200, 200, 200, 200, 200, 200, 200, 200, 303]),
    ("POST", "/me/tokens",                          [401, 400, 400, 400, 400, 400, 400, 400, 403, 401]),
    // 404: let in, and then told that no such token is theirs.
    ("POST", "/me/tokens/{id}/revoke",              [401, 404, 404, 404, 404, 404, 404, 404, 403, 401]),
    ("GET",  "/admin/accounts",                     [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("GET",  "/admin/accounts/invite",              [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("POST", "/admin/accounts/invite",              [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("GET",  "/admin/accounts/import",              [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("POST", "/admin/accounts/import",              [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/accounts/import/preview",      [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    // 404: let in, and then told that there is no such account.
    ("GET",  "/admin/accounts/{id}",                [303, 403, 403, 403, 403, 403, 404, 303, 404, 303]),
    ("POST", "/admin/accounts/{id}",                [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/disable",        [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/enable",         [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/delete",         [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/invite",         [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/reset",          [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/compromised",    [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/factors/reset",  [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/sessions/end",   [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/sessions/{session}/end", [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/accounts/{id}/tokens/{token}/revoke", [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("GET",  "/me/stand-ins",                       [303, 403, 200, 200, 200, 403, 403, 403, 403, 303]),
    ("POST", "/me/stand-ins",                       [401, 403, 400, 400, 400, 403, 403, 403, 403, 401]),
    ("POST", "/me/stand-ins/{id}/end",              [401, 403, 404, 404, 404, 403, 403, 403, 403, 401]),
    ("GET",  "/admin/access",                       [303, 403, 403, 403, 403, 200, 200, 303, 200, 303]),
    ("GET",  "/admin/access/gate",                  [303, 403, 403, 403, 403, 200, 200, 303, 200, 303]),
    // 422: let in, and then told that no gate and nobody was named.
    ("GET",  "/admin/access/gate.csv",              [303, 403, 403, 403, 403, 422, 422, 303, 422, 303]),
    ("GET",  "/admin/access/person",                [303, 403, 403, 403, 403, 200, 200, 303, 200, 303]),
    ("GET",  "/admin/access/person.csv",            [303, 403, 403, 403, 403, 422, 422, 303, 422, 303]),
    ("GET",  "/admin/access/review.csv",            [303, 403, 403, 403, 403, 200, 200, 303, 200, 303]),
    ("GET",  "/admin/access/grants/new",            [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("POST", "/admin/access/grants",                [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/access/grants/{id}/end",       [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("GET",  "/admin/access/marks/new",             [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("POST", "/admin/access/marks",                 [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/access/marks/{id}/lift",       [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("GET",  "/admin/access/options/new",           [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("POST", "/admin/access/options",               [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/access/options/{id}/end",      [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("GET",  "/admin/access/escalations/new",       [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("POST", "/admin/access/escalations",           [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/access/escalations/{id}/end",  [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/access/stand-ins/{id}/end",    [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("GET",  "/admin/groups",                       [303, 403, 403, 403, 403, 200, 200, 303, 200, 303]),
    ("POST", "/admin/groups",                       [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("GET",  "/admin/groups/{id}",                  [303, 403, 403, 403, 403, 404, 404, 303, 404, 303]),
    ("POST", "/admin/groups/{id}",                  [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/groups/{id}/members",          [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/groups/{id}/members/{account}/end", [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/groups/{id}/remove",           [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/notices/{id}/seen",            [401, 403, 403, 403, 403, 403, 404, 403, 404, 401]),
    ("GET",  "/admin/system",                       [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    // 404: let in, and then told that there is no such mail.
    ("POST", "/admin/system/mail/{id}/again",       [401, 403, 403, 403, 403, 403, 404, 403, 404, 401]),
    ("GET",  "/admin/channels",                     [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("GET",  "/admin/channels/new",                 [303, 403, 403, 403, 403, 403, 200, 303, 200, 303]),
    ("POST", "/admin/channels",                     [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    // 404: let in, and then told that there is no such channel.
    ("GET",  "/admin/channels/{id}",                [303, 403, 403, 403, 403, 403, 404, 303, 404, 303]),
    ("POST", "/admin/channels/{id}",                [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/channels/{id}/gates",          [401, 403, 403, 403, 403, 403, 400, 403, 403, 401]),
    ("POST", "/admin/channels/{id}/gates/{gates}/end", [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/channels/{id}/secret",         [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/channels/{id}/end",            [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/channels/{id}/test",           [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("POST", "/admin/channels/{id}/deliveries/{delivery}/again", [401, 403, 403, 403, 403, 403, 404, 403, 403, 401]),
    ("GET",  "/me/identities",                      [303, 200, 200, 200, 200, 200, 200, 200, 200, 303]),
    ("POST", "/me/identities/{provider}/link",      [401, 404, 404, 404, 404, 404, 404, 404, 403, 401]),
    ("POST", "/me/identities/{provider}/unlink",    [401, 404, 404, 404, 404, 404, 404, 404, 403, 401]),
    // A script is told; it is not sent to sign in.
    ("GET",  "/events",                             [401, 403, 200, 200, 200, 200, 200, 403, 200, 401]),
    // For programs: whoever is signed in is nobody there (S-29). With a token of theirs, see below.
    ("GET",  "/api/v1/me",                          [401, 401, 401, 401, 401, 401, 401, 401, 401, 401]),
    // 404: this portal listens to no topic.
    ("POST", "/hooks/sns",                          [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    // 404: nobody is known by what was sent.
    ("POST", "/push/renewed",                       [404, 404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("GET",  "/healthz",                            [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",  "/readyz",                             [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",  "/push-worker.js",                     [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",  "/manifest.webmanifest",               [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",  "/static/{hash}/{file}",               [200, 200, 200, 200, 200, 200, 200, 200, 200, 200]),
];

/// The routes for programs, with a token of each of these people. The one of nobody is none.
#[rustfmt::skip]
const BY_TOKEN: &[(&str, &str, Expected)] = &[
    ("GET",  "/api/v1/me",                          [401, 401, 200, 200, 200, 200, 200, 200, 200, 401]),
];

const VISITORS: [(&str, Option<&[Role]>); 10] = [
    ("nobody", None),
    ("norma", Some(&[])),
    ("ana", Some(&[Role::Approver])),
    ("una", Some(&[Role::Approver])),
    ("otto", Some(&[Role::Approver])),
    ("audrey", Some(&[Role::Auditor])),
    ("adam", Some(&[Role::Admin])),
    ("fay", Some(&[Role::Admin])),
    ("stan", Some(&[Role::Admin])),
    ("dora", Some(&[Role::Approver, Role::Auditor, Role::Admin])),
];

/// The column of an admin who has just proven who they are.
const ADAM: usize = 6;

#[test]
fn every_route_is_in_the_matrix_and_every_row_is_a_route() {
    let routes: BTreeSet<_> = routes::table().iter().map(|it| (it.method.to_string(), it.path.to_owned())).collect();
    let rows: BTreeSet<_> = MATRIX.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
    assert_eq!(routes, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_answers_everybody_as_the_matrix_says() {
    let portal = Portal::start().await;
    portal.create_account("olga", &[]).await;
    portal.waiting("shop").await;
    let approval = portal.approval_id("shop").await;
    let mut wrong = Vec::new();
    for (column, (name, roles)) in VISITORS.into_iter().enumerate() {
        for (method, template, expected) in MATRIX {
            let visitor = Visitor::arrive(&portal, name, roles).await;
            let page = visitor.ask(method, &filled(template, &approval, &visitor.asset), &[]).await;
            if page.status != expected[column] {
                wrong.push(format!("{name} {method} {template}: {}, not {}", page.status, expected[column]));
            }
            // Whoever may do it at all is asked for proof, if theirs is old, and nobody else is.
            let is_due = name == "stan" && is_stepped_up(method, template) && expected[ADAM] != 403;
            let asks_for_proof = page.text().contains("Prove that it is you");
            if asks_for_proof != is_due && *template != "/step-up" {
                wrong.push(format!("{name} {method} {template}: asks for proof: {asks_for_proof}"));
            }
            assert_answer_is_dressed(&page, template);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_for_programs_answers_everybodys_token_as_the_matrix_says() {
    // S-30
    let api = routes::table().into_iter().filter(|route| matches!(route.kind, Kind::Api(_)));
    let routes: BTreeSet<_> = api.map(|it| (it.method.to_string(), it.path.to_owned())).collect();
    let rows: BTreeSet<_> = BY_TOKEN.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
    assert_eq!(routes, rows);
    let portal = Portal::start().await;
    portal.create_account("olga", &[]).await;
    let mut wrong = Vec::new();
    for (column, (name, roles)) in VISITORS.into_iter().enumerate() {
        let token = match roles {
            None => countersign::domain::tokens::write(&[7; 32]).to_string(),
            Some(roles) => {
                let visitor = Visitor::arrive(&portal, name, Some(roles)).await;
                if name == "dora" {
                    enable(&portal, name).await;
                }
                let token = portal.token_of(name, Scope::Decide).await;
                if name == "dora" {
                    portal.disable(name).await;
                }
                drop(visitor);
                token
            }
        };
        for (method, template, expected) in BY_TOKEN {
            let path = filled(template, "0199aa00-0000-7000-8000-000000000000", "");
            let program = portal.anonymous();
            let request = program.request(method.parse().unwrap(), &path).bearer_auth(&token);
            let answer = program.send(&path, request).await;
            if answer.status != expected[column] {
                wrong.push(format!("{name} {method} {template}: {}, not {}", answer.status, expected[column]));
            }
            assert_answer_is_dressed(&answer, template);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_for_a_form_that_another_page_made() {
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let approval = portal.approval_id("shop").await;
    let roles: &[Role] = &[Role::Approver, Role::Auditor, Role::Admin];
    let stranger = Visitor::arrive(&portal, "mallory", Some(roles)).await;
    let before = portal.records().await.len();
    let visitor = Visitor::arrive(&portal, "ana", Some(roles)).await;
    let signed_in = portal.records().await.len();
    // What comes to a hook proves itself; tests/hooks has what it takes.
    let takes_forms =
        |route: &&Route| route.method == Method::POST && route.path != "/setup" && route.kind != Kind::Hook;
    for route in routes::table().iter().filter(takes_forms) {
        let path = filled(route.path, &approval, &visitor.asset);
        let foreign = stranger.csrf.as_str();
        for token in [None, Some(""), Some("AAAA"), Some(foreign)] {
            let fields: Vec<_> = token.into_iter().map(|token| ("csrf", token)).collect();
            let page = visitor.browser.post(&path, &fields).await;
            assert_eq!(page.status, 403, "{path} with the token {token:?}");
        }
        let elsewhere: [&[(&str, &str)]; 5] = [
            &[],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", "null")],
            &[("origin", "https://evil.example")],
        ];
        for headers in elsewhere {
            let mut request = visitor.browser.request(Method::POST, &path).form(&[("csrf", &visitor.csrf)]);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let page = visitor.browser.send(&path, request).await;
            assert_eq!(page.status, 403, "{path} from elsewhere: {headers:?}");
        }
    }
    assert!(signed_in > before, "signing in is recorded");
    assert_eq!(portal.records().await.len(), signed_in, "nothing else happened");
    assert_eq!(visitor.browser.open("/me").await.status, 200, "nobody was signed out");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_page_of_the_portal_decides_never_an_address_bar() {
    // S-37: `none` is what an address bar or a bookmark sends.
    let portal = Portal::start().await;
    portal.waiting("shop").await;
    let ana = portal.as_approver("ana").await;
    let path = format!("/approvals/{}/decision", portal.approval_id("shop").await);
    let csrf = ana.open("/me").await.csrf();
    let request = ana.request(Method::POST, &path).header("sec-fetch-site", "none").form(&[("csrf", &csrf)]);
    assert_eq!(ana.send(&path, request).await.status, 403);
    let request = ana.request(Method::POST, "/sign-out").header("sec-fetch-site", "none").form(&[("csrf", &csrf)]);
    assert_eq!(ana.send("/sign-out", request).await.status, 303, "elsewhere it may be");
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_methods_are_refused_everywhere() {
    // S-40, S-43: also TRACE, and a preflight, which gets no permission.
    let portal = Portal::start().await;
    let admin = portal.as_admin().await;
    let paths: BTreeSet<_> = routes::table().iter().map(|route| route.path).collect();
    for template in paths {
        let path = filled(template, "0199aa00-0000-7000-8000-000000000000", "");
        let known: Vec<_> = routes::table().into_iter().filter(|it| it.path == template).map(|it| it.method).collect();
        for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert!(!known.contains(&method));
            let request = admin.request(method.clone(), &path).header("sec-fetch-site", "same-origin");
            let page = admin.send(&path, request.header("origin", "https://evil.example")).await;
            assert_eq!(page.status, 405, "{method} {path}");
            assert!(page.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
        }
    }
    portal.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing() {
    // S-40. One GET begins a session: the one that identity providers send browsers back to. Without an answer that this
    // browser asked for it changes nothing either; tests/sso has what it takes.
    let portal = Portal::start_with(
        "[[sso]]\nname = \"corp\"\nlabel = \"Corp\"\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"a\"\nclient_secret = \"b\"",
    )
    .await;
    portal.waiting("shop").await;
    let approval = portal.approval_id("shop").await;
    let roles: &[Role] = &[Role::Approver, Role::Auditor, Role::Admin];
    let visitor = Visitor::arrive(&portal, "ana", Some(roles)).await;
    let nobody = Visitor::arrive(&portal, "nobody", None).await;
    let before = snapshot(&portal).await;
    for route in routes::table().iter().filter(|route| route.method == Method::GET) {
        for who in [&visitor, &nobody] {
            let path = filled(route.path, &approval, &who.asset);
            who.ask("GET", &path, &[]).await;
            let head = who.browser.send(&path, who.browser.request(Method::HEAD, &path)).await;
            assert!(head.body.is_empty());
        }
    }
    assert_eq!(snapshot(&portal).await, before);
    assert_eq!(portal.simulator.count("PutApprovalResult"), 0);
    portal.finish().await;
}

/// Everything in every table but when somebody was last seen.
async fn snapshot(portal: &Portal) -> Vec<(String, Option<String>)> {
    let mut conn = portal.database.connect_superuser().await;
    let sql = "select format('%I.%I', schemaname, tablename) from pg_tables where schemaname in ('portal', 'audit') order by 1";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap();
    assert!(tables.len() > 8, "{tables:?}");
    let mut all = Vec::new();
    for table in tables {
        let sql = format!(
            "select md5(string_agg(row, e'\\n' order by row)) from (select (to_jsonb(t) - 'last_seen_at')::text as row from {table} t) rows"
        );
        let hash: Option<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).fetch_one(&mut conn).await.unwrap();
        all.push((table, hash));
    }
    all
}

/// Somebody with a browser and a form token of their own.
struct Visitor {
    browser: Browser,
    csrf: String,
    /// The address of a static file.
    asset: String,
}

impl Visitor {
    async fn arrive(portal: &Portal, name: &str, roles: Option<&[Role]>) -> Self {
        let browser = match roles {
            None => portal.anonymous(),
            Some(roles) => {
                if name == "dora" {
                    enable(portal, name).await;
                }
                let browser = match name {
                    "fay" => portal.as_person_without_factor(name, roles).await,
                    _ => portal.as_person(name, roles).await,
                };
                match name {
                    "una" => portal.end_grants_of(name).await,
                    "otto" => portal.let_decide_only(name, "blog").await,
                    "stan" => portal.make_stale(name).await,
                    _ => {}
                }
                browser
            }
        };
        let page = browser.open(if roles.is_some() { "/me" } else { "/sign-in" }).await;
        let start = page.body.find("/static/").unwrap();
        let asset = page.body[start..].split('"').next().unwrap().to_owned();
        if name == "dora" {
            portal.disable(name).await;
            // As somebody finds out: the form token of before is all they have, and a way in they may try.
            let csrf = browser.open("/sign-in").await.csrf();
            return Self { csrf, browser, asset };
        }
        Self { csrf: page.csrf(), browser, asset }
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Page {
        if method == "GET" {
            return self.browser.open(path).await;
        }
        let mut all = vec![("csrf", self.csrf.as_str())];
        all.extend_from_slice(fields);
        self.browser.post(path, &all).await
    }
}

async fn enable(portal: &Portal, name: &str) {
    let accounts = &portal.state.accounts;
    if let Some(id) = accounts.find_by_email(&crate::harness::email(name)).await.unwrap() {
        accounts.enable(&countersign::accounts::By::Operator, id).await.unwrap();
    }
}

fn filled(template: &str, approval: &str, asset: &str) -> String {
    if template.starts_with("/static/") && !asset.is_empty() {
        return asset.to_owned();
    }
    let nothing = "0199aa00-0000-7000-8000-000000000000";
    let id = if template.starts_with("/approvals/") { approval } else { nothing };
    let path =
        template.replace("{id}", id).replace("{decision}", nothing).replace("{session}", nothing).replace("{seq}", "1");
    let path = path.replace("{token}", nothing).replace("{gates}", nothing).replace("{delivery}", nothing);
    let path = path.replace("{code}", "A".repeat(43).as_str());
    let path = path.replace("{account}", nothing).replace("{provider}", "corp");
    path.replace("{hash}", "0000000000000000").replace("{file}", "app.css")
}

fn is_stepped_up(method: &str, template: &str) -> bool {
    routes::table().iter().any(|route| route.method == *method && route.path == template && route.stepped_up)
}

/// Whatever the answer is: a browser is told what it must be told, and nothing is kept that must not be.
fn assert_answer_is_dressed(page: &Page, template: &str) {
    let is_kept = template.starts_with("/static/") && page.status == 200;
    crate::answers::assert_headers(page, is_kept);
}
