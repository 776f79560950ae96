//! `/admin/accounts/invite`: one person, by mail or by a link that the admin hands over.

use askama::Template;
use askama_web::WebTemplate;
use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::account::address;
use super::links::{self, Opens};
use super::{RoleBox, admin, refusal, role_boxes, ticked};
use crate::accounts::invitations::NewPerson;
use crate::domain::people::{Role, Roles};
use crate::web::csrf::CsrfForm;
use crate::web::extract::SignedIn;
use crate::web::parts::Field;
use crate::web::{AppState, Failure, Shell};

#[derive(Debug, Template, WebTemplate)]
#[template(path = "admin/invite.html")]
struct InvitePage {
    shell: Shell,
    email: Field,
    name: Field,
    role_boxes: Vec<RoleBox>,
    error: Option<String>,
}

impl InvitePage {
    fn new(shell: Shell, email: &str, name: &str, roles: Roles) -> Self {
        Self {
            shell,
            email: Field::email("email", "Email").value(email).focused(email.is_empty()),
            name: Field::text("name", "Name").value(name).hint("They may change it when they accept."),
            role_boxes: role_boxes(roles),
            error: None,
        }
    }
}

/// Shows the form.
///
/// # Errors
/// None today.
pub async fn show(shell: Shell) -> Result<Response, Failure> {
    Ok(InvitePage::new(shell, "", "", Roles::default().with(Role::Approver)).into_response())
}

/// The form.
#[derive(serde::Deserialize)]
pub struct Fields {
    email: String,
    name: String,
    #[serde(default)]
    role_approver: String,
    #[serde(default)]
    role_auditor: String,
    #[serde(default)]
    role_admin: String,
}

/// `POST /admin/accounts/invite`.
///
/// # Errors
/// 503 when the database does not answer.
pub async fn submit(
    State(app): State<AppState>,
    SignedIn(person): SignedIn,
    shell: Shell,
    form: CsrfForm<Fields>,
) -> Result<Response, Failure> {
    let fields = form.read();
    let roles = ticked(&fields.role_approver, &fields.role_auditor, &fields.role_admin);
    let new = NewPerson { email: fields.email.clone(), name: fields.name.clone(), roles };
    let refused = match app.accounts.invite(&admin(&person)?, new).await {
        Ok(made) => {
            let link = (Some(&made.link), made.expires_at, made.mailed);
            let whose = (fields.email.trim(), address(made.account));
            return Ok(links::show(shell, Opens::Invitation, whose, link, app.clock.now()));
        }
        Err(error) => refusal(error)?,
    };
    let mut page = InvitePage::new(shell, &fields.email, &fields.name, roles);
    let text = Some(refused.text);
    match refused.field {
        Some("email") => page.email = page.email.error(text).focused(true),
        Some("name") => page.name = page.name.error(text).focused(true),
        _ => page.error = text,
    }
    Ok((refused.status, page).into_response())
}
