//! Who a token stands for: what a program asks first, to see that its token works.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::bearer::ByToken;
use crate::web::extract::SignedIn;

/// `GET /api/v1/me`. The roles are those that the token carries: never admin.
pub async fn show(SignedIn(person): SignedIn, ByToken(token): ByToken) -> Response {
    let told = json!({
        "account": person.account,
        "email": person.email,
        "name": person.name,
        "roles": person.roles.names(),
        "token": { "label": token.label, "scope": token.scope.name(), "expires_at": token.expires_at },
    });
    Json(told).into_response()
}
