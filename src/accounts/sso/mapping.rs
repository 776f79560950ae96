//! What a provider's groups give here, and take: the roles and the memberships that are mapped follow the claim at every
//! sign-in (S-22); all others are the admins'.

use serde_json::json;
use sqlx::PgConnection;

use super::Sso;
use crate::accounts::Unavailable;
use crate::accounts::records::{StillToTell, group_told};
use crate::audit::Kind;
use crate::domain::people::{Role, Roles, group_key};
use crate::sso::{Provider, Witness};
use crate::store::access::groups::{self, Claimed, Group};
use crate::store::accounts::Account;

/// The roles somebody has once the claim is followed: of those that are mapped, the claimed ones.
pub(super) fn follow(current: Roles, mapped: Roles, claimed: Roles) -> Roles {
    let has = |role: &Role| if mapped.has(*role) { claimed.has(*role) } else { current.has(*role) };
    Role::ALL.into_iter().filter(has).collect()
}

impl Sso {
    /// Puts somebody into the groups the claim names, and out of those it no longer does.
    pub(super) async fn follow_groups(
        &self,
        conn: &mut PgConnection,
        (provider, witness): (&Provider, &Witness),
        account: &Account,
        told: &mut StillToTell,
    ) -> Result<(), Unavailable> {
        let (given_by, now) = (provider.method(), self.accounts.0.clock.now());
        let claimed = provider.config().groups.iter().filter(|(group, _)| witness.groups.contains(*group));
        let keys: Vec<String> = claimed.map(|(_, name)| group_key(name)).collect();
        let found = groups::lock_claimed(conn, (account.id, &given_by), &keys).await?;
        let known: Vec<String> = found.iter().map(|claimed| group_key(&claimed.group.name)).collect();
        for missing in keys.iter().filter(|key| !known.contains(key)) {
            tracing::warn!(provider = provider.config().name, group = missing, "a mapped group does not exist here");
        }
        for Claimed { group, named, given } in &found {
            let whom = (group.id, account.id);
            let what = match (named, given) {
                (true, false) => {
                    groups::insert_member(conn, self.accounts.0.random.uuid_v7(now), whom, &given_by, now).await?;
                    "member added"
                }
                (false, true) => {
                    groups::end_given(conn, whom, &given_by, now).await?;
                    "member taken out"
                }
                _ => continue,
            };
            told.push((Kind::GroupChanged, changed(group, what, account, &given_by)));
        }
        Ok(())
    }
}

fn changed(group: &Group, what: &str, account: &Account, given_by: &str) -> serde_json::Value {
    let mut fields = group_told(group);
    fields["what"] = json!(what);
    fields["person"] = json!(account.id);
    fields["person_name"] = json!(account.name);
    fields["email"] = json!(account.email);
    fields["given_by"] = json!(given_by);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(names: &[&str]) -> Roles {
        names.iter().filter_map(|name| Role::from_name(name)).collect()
    }

    #[test]
    fn mapped_roles_follow_the_claim_and_the_others_stay() {
        // S-22
        let mapped = roles(&["approver", "admin"]);
        assert_eq!(follow(roles(&["auditor"]), mapped, roles(&["approver"])), roles(&["auditor", "approver"]));
        assert_eq!(follow(roles(&["approver", "auditor"]), mapped, roles(&[])), roles(&["auditor"]));
        assert_eq!(follow(roles(&["admin"]), roles(&[]), roles(&[])), roles(&["admin"]));
    }
}
