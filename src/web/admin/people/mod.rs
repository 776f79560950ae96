//! What admins do: people. Every act is a POST behind a fresh proof of who asks (S-35); the work is done by `accounts`, these
//! handlers turn its answers into pages. No handler here ever sees or sets a password.

mod account;
mod acts;
mod import;
mod invite;
mod links;
mod list;

pub use account::{change, show as account};
pub use acts::{
    delete, disable, enable, end_session, end_sessions, invite_again, mark_compromised, reset_factors, revoke_token,
    start_reset,
};
pub use import::{apply as import_people, preview as preview_import, show as import};
pub use invite::{show as invite, submit as invite_person};
pub use list::show as list;

use axum::http::StatusCode;

use super::admin;
use crate::accounts::admin::AdminError;
use crate::domain::people::{Role, Roles};
use crate::web::Failure;

/// One role as a box to tick.
#[derive(Debug, Clone)]
pub struct RoleBox {
    pub name: &'static str,
    pub label: &'static str,
    pub what: &'static str,
    pub is_ticked: bool,
}

/// The boxes of a form, as ticked for these roles.
fn role_boxes(roles: Roles) -> Vec<RoleBox> {
    let words = |role| match role {
        Role::Approver => ("role_approver", "Approver", "Decides approvals at the gates that grants name."),
        Role::Auditor => ("role_auditor", "Auditor", "Reads every record, and who may decide what. Decides nothing."),
        Role::Admin => ("role_admin", "Admin", "Manages people, groups and grants. Decides nothing by itself."),
    };
    let boxed = |role| {
        let (name, label, what) = words(role);
        RoleBox { name, label, what, is_ticked: roles.has(role) }
    };
    Role::ALL.into_iter().map(boxed).collect()
}

/// Roles from what the boxes sent.
fn ticked(approver: &str, auditor: &str, admin: &str) -> Roles {
    Roles { approver: !approver.is_empty(), auditor: !auditor.is_empty(), admin: !admin.is_empty() }
}

/// How a page tells that an admin's act was refused: its status, the field it is about, and the sentence.
struct Refusal {
    status: StatusCode,
    field: Option<&'static str>,
    text: String,
}

/// # Errors
/// What is no page's business: an account that does not exist, a database that does not answer.
fn refusal(error: AdminError) -> Result<Refusal, Failure> {
    let conflict = |field, text| Ok(Refusal { status: StatusCode::CONFLICT, field, text });
    match error {
        AdminError::BadField { field, problem } => {
            Ok(Refusal { status: StatusCode::UNPROCESSABLE_ENTITY, field: Some(field), text: problem })
        }
        AdminError::EmailTaken => conflict(Some("email"), AdminError::EmailTaken.to_string()),
        AdminError::NoSuchAccount => Err(Failure::not_found()),
        AdminError::NotAllowed => Err(Failure::forbidden(AdminError::NotAllowed.to_string())),
        AdminError::Unavailable(cause) => Err(cause.into()),
        AdminError::Busy(busy) => Err(Failure::unavailable(busy.retry_after)),
        other => conflict(None, other.to_string()),
    }
}
