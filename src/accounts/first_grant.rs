//! The first grant: without it nobody could decide anything, and nobody would know why. It comes with the first account of
//! `/setup`, or with the first approver the operator makes while no grant was ever given, in the same transaction. Every
//! other grant is given by `access`.

use serde_json::{Value, json};
use sqlx::PgConnection;

use super::records::grant_told;
use super::{Accounts, By};
use crate::domain::access::{Capability, GatePattern};
use crate::domain::ids::GrantId;
use crate::domain::people::Role;
use crate::store::access::grants::{self, NewGrant, To};
use crate::store::accounts::Account;

const NOTE: &str = "The first approver may decide everything.";

impl Accounts {
    /// Lets the first approver of this portal decide every gate. Some: what is to be recorded about it. Nobody whom an admin
    /// makes gets anything this way.
    pub(super) async fn grant_first(
        &self,
        conn: &mut PgConnection,
        by: &By,
        account: &Account,
    ) -> sqlx::Result<Option<Value>> {
        let is_asked_for = matches!(by, By::Operator | By::System) && account.roles.has(Role::Approver);
        if !is_asked_for || grants::any_ever(conn).await? {
            return Ok(None);
        }
        let gates = GatePattern::everything();
        let id = GrantId(self.0.random.uuid_v7(account.created_at));
        let new = NewGrant {
            id,
            capability: Capability::Decide,
            to: To::Person(account.id),
            gates: &gates,
            note: NOTE,
            at: account.created_at,
            given_by: None,
        };
        grants::insert(conn, &new).await?;
        let to = json!({ "person": account.id, "name": account.name, "email": account.email });
        Ok(Some(grant_told((id, Capability::Decide), &to, &gates, NOTE)))
    }
}
