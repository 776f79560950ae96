//! Who a program stands for (S-29): `Authorization: Bearer` and nothing else. No cookie is looked at here, so other sites
//! have nothing to abuse and no form token is needed; what stands in the address is never a token.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use crate::accounts::tokens::TokenView;
use crate::domain::people::Role;
use crate::domain::tokens::Scope;
use crate::web::error::Failure;
use crate::web::guard::{Gate, Visitor};
use crate::web::layers::Client;
use crate::web::routes::Access;
use crate::web::state::AppState;

const TOO_MANY: &str =
    "Too many API tokens that do not work were shown from this address. Wait, and show one that works.";

/// Admits a request whose token is enough for this route, leaving the [`Visitor`] in it.
///
/// # Errors
/// 401 in the same words whatever is wrong with the token, and 429 when too many of those came from one address; 403 where
/// it, or its person, may not do this; 503.
pub async fn admit(app: &AppState, gate: Gate, needs: Scope, request: &mut Parts) -> Result<(), Failure> {
    let client = Client::of(&request.extensions);
    let found = match presented(&request.headers) {
        Some(token) => app.accounts.person_of_token(token, client, needs).await,
        None => Ok(None),
    };
    let Some((person, token)) = found.map_err(|error| Failure::from(error).before_anything())? else {
        let shows_something = request.headers.contains_key(header::AUTHORIZATION);
        let wait = shows_something.then(|| app.accounts.count_refused_token(client)).flatten();
        return Err(wait.map_or_else(refused, |wait| Failure::too_many(wait).saying(TOO_MANY)));
    };
    let scope = token.scope;
    let roles = person.roles;
    request.extensions.insert(Visitor { person: Some(person), token: Some(token), ..Visitor::default() });
    check_scope(scope, needs)?;
    check_role(gate.access, |role| roles.has(role))
}

/// What a request shows as its token.
fn presented(headers: &HeaderMap) -> Option<&str> {
    let mut lines = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return None };
    let (scheme, token) = line.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
}

fn refused() -> Failure {
    Failure::new(StatusCode::UNAUTHORIZED)
        .saying("This needs an API token that works, in the header: Authorization: Bearer csn_…")
        .challenging("Bearer")
}

/// A token that only reads is not enough where something is decided.
fn check_scope(scope: Scope, needs: Scope) -> Result<(), Failure> {
    if scope.covers(needs) {
        return Ok(());
    }
    let challenge = match needs {
        Scope::Read => r#"Bearer error="insufficient_scope", scope="read""#,
        Scope::Decide => r#"Bearer error="insufficient_scope", scope="decide""#,
    };
    let text = format!("This needs a token of scope {needs}; this one has the scope {scope}. Nothing was done.");
    Err(Failure::forbidden(text).challenging(challenge))
}

fn check_role(access: Access, has: impl Fn(Role) -> bool) -> Result<(), Failure> {
    let Access::AnyOf(roles) = access else { return Ok(()) };
    if roles.iter().any(|role| has(*role)) {
        return Ok(());
    }
    let names: Vec<_> = roles.iter().map(|role| role.name()).collect();
    let text = format!(
        "Your account may not do this: it needs the role {}. Admin rights never come with a token.",
        names.join(" or ")
    );
    Err(Failure::forbidden(text))
}

/// The token that a request came with. Only behind routes for programs; elsewhere it refuses.
#[derive(Debug, Clone)]
pub struct ByToken(pub TokenView);

impl<S: Send + Sync> FromRequestParts<S> for ByToken {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let token = parts.extensions.get::<Visitor>().and_then(|visitor| visitor.token.clone());
        token.map(Self).ok_or_else(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use axum::response::IntoResponse as _;

    fn shown(lines: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::AUTHORIZATION, HeaderValue::from_static(line));
        }
        presented(&headers).map(str::to_owned)
    }

    #[test]
    fn one_bearer_header_is_looked_at_and_nothing_else() {
        // S-29
        assert_eq!(shown(&["Bearer csn_a"]).as_deref(), Some("csn_a"));
        assert_eq!(shown(&["bEARER  csn_a "]).as_deref(), Some("csn_a"));
        for lines in [&[][..], &["csn_a"], &["Basic csn_a"], &["Bearer"], &["Bearer csn_a", "Bearer csn_b"]] {
            assert_eq!(shown(lines), None, "{lines:?}");
        }
    }

    #[test]
    fn a_token_that_reads_decides_nothing() {
        // S-29
        assert!(check_scope(Scope::Read, Scope::Read).is_ok() && check_scope(Scope::Decide, Scope::Read).is_ok());
        assert!(check_scope(Scope::Decide, Scope::Decide).is_ok());
        let response = check_scope(Scope::Read, Scope::Decide).unwrap_err().into_response();
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            response.headers()[header::WWW_AUTHENTICATE],
            r#"Bearer error="insufficient_scope", scope="decide""#
        );
    }

    #[test]
    fn a_role_is_asked_for_as_on_pages() {
        // S-30
        const APPROVER: Access = Access::AnyOf(&[Role::Approver]);
        assert!(check_role(APPROVER, |role| role == Role::Approver).is_ok());
        assert!(check_role(APPROVER, |role| role == Role::Auditor).is_err());
        assert!(check_role(Access::SignedIn, |_| false).is_ok());
    }
}
