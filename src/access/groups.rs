//! Groups of people: made, renamed, filled, removed.

use serde_json::{Value, json};
use sqlx::Connection as _;

use super::grants::find_anybody;
use super::{Access, AccessError, bad, lock_people, parse_note};
use crate::accounts::records::group_told;
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::{AccountId, GroupId};
use crate::domain::people::group_key;
use crate::domain::text;
use crate::store::access::escalations;
use crate::store::access::grants::{self, Grant};
use crate::store::access::groups::{self, Group, Listed, Member};

const NO_GROUP: AccessError = AccessError::Gone("There is no such group.");
const TAKEN: &str = "There is a group of this name already.";
/// The hand that puts people into groups here; an identity provider has its own.
const BY_HAND: &str = "admin";

fn parse_name(typed: &str) -> Result<String, AccessError> {
    let name = typed.split_whitespace().collect::<Vec<_>>().join(" ");
    if name.is_empty() || name.chars().count() > 80 {
        return Err(bad("name", "A group's name has 1 to 80 characters."));
    }
    if name.chars().any(char::is_control) || text::has_deceptive(&name) {
        return Err(bad("name", "A group's name cannot hold characters that cannot be seen."));
    }
    Ok(name)
}

/// A group with everything that is shown about it.
#[derive(Debug, Clone)]
pub struct Whole {
    pub group: Group,
    pub members: Vec<Member>,
    pub grants: Vec<Grant>,
}

impl Access {
    /// Every group, by name.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list_groups(&self) -> Result<Vec<Listed>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(groups::list(&mut conn).await?)
    }

    /// One group, who is in it and what they may do by it.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn find_group(&self, id: GroupId) -> Result<Option<Whole>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let Some(group) = groups::find(&mut conn, id).await? else { return Ok(None) };
        let members = groups::list_members(&mut conn, id).await?;
        let grants = grants::list_of_group(&mut conn, id).await?;
        Ok(Some(Whole { group, members, grants }))
    }

    /// Makes a group with nobody in it.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create_group(&self, by: &By, name: &str, note: &str) -> Result<GroupId, AccessError> {
        let (name, note) = (parse_name(name)?, parse_note(note)?);
        let at = self.0.clock.now();
        let group = Group { id: GroupId(self.0.random.uuid_v7(at)), name, note, created_at: at, version: 1 };
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        if !groups::insert(&mut tx, &group, &group_key(&group.name)).await? {
            return Err(bad("name", TAKEN));
        }
        self.record(&mut tx, Kind::GroupCreated, by, group_told(&group)).await?;
        tx.commit().await?;
        Ok(group.id)
    }

    /// Gives a group another name and note. False: it had these.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change_group(&self, by: &By, id: GroupId, (name, note): (&str, &str)) -> Result<bool, AccessError> {
        let (name, note) = (parse_name(name)?, parse_note(note)?);
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        let before = groups::lock(&mut tx, id).await?.ok_or(NO_GROUP)?;
        if before.name == name && before.note == note {
            return Ok(false);
        }
        if !groups::mark_changed(&mut tx, id, (&name, &group_key(&name)), &note).await? {
            return Err(bad("name", TAKEN));
        }
        let mut fields = group_told(&Group { name, note, ..before.clone() });
        fields["what"] = json!("renamed");
        fields["name_before"] = json!(before.name);
        fields["note_before"] = json!(before.note);
        self.record(&mut tx, Kind::GroupChanged, by, fields).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Puts somebody into a group: from now on they may do what it may. False: they are in it already.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn add_member(&self, by: &By, id: GroupId, email: &str) -> Result<bool, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = find_anybody(&mut tx, email).await?;
        let person = lock_people(&mut tx, by, Some(account)).await?.expect("the person was asked for");
        let group = groups::lock(&mut tx, id).await?.ok_or(NO_GROUP)?;
        let at = self.0.clock.now();
        if !groups::insert_member(&mut tx, self.0.random.uuid_v7(at), (id, account), BY_HAND, at).await? {
            return Ok(false);
        }
        let mut fields = group_told(&group);
        fields["what"] = json!("member added");
        fields["person"] = json!(account);
        fields["person_name"] = json!(person.name);
        fields["email"] = json!(person.email);
        if let (Some(admin), By::Person(who)) = (by.account().filter(|admin| *admin == account), by) {
            fields["to_themselves"] = Value::Bool(true);
            let text = format!("{} put themselves into the group {}.", who.name, group.name);
            self.tell_admins(&mut tx, admin, text).await?;
        }
        self.record(&mut tx, Kind::GroupChanged, by, fields).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Takes somebody out of a group, whoever put them there. False: they were not in it.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn end_member(&self, by: &By, id: GroupId, account: AccountId) -> Result<bool, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let person = lock_people(&mut tx, by, Some(account)).await?.expect("the person was asked for");
        let group = groups::lock(&mut tx, id).await?.ok_or(NO_GROUP)?;
        if !groups::end_member(&mut tx, (id, account), self.0.clock.now()).await? {
            return Ok(false);
        }
        let mut fields = group_told(&group);
        fields["what"] = json!("member taken out");
        fields["person"] = json!(account);
        fields["person_name"] = json!(person.name);
        fields["email"] = json!(person.email);
        self.record(&mut tx, Kind::GroupChanged, by, fields).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Removes a group: nobody is in it any more, every grant it had has ended, and it is told of nothing.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn remove_group(&self, by: &By, id: GroupId) -> Result<(), AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_people(&mut tx, by, None).await?;
        let group = groups::lock(&mut tx, id).await?.ok_or(NO_GROUP)?;
        let at = self.0.clock.now();
        let members = groups::end_all_members(&mut tx, id, at).await?;
        let held = grants::list_of_group(&mut tx, id).await?;
        for grant in &held {
            grants::mark_ended(&mut tx, grant.id, at, by.account()).await?;
        }
        let escalations = escalations::end_all_of_group(&mut tx, id, at, by.account()).await?;
        groups::mark_removed(&mut tx, id, at).await?;
        let mut fields = group_told(&group);
        fields["members"] = json!(members);
        // A hundred of them fit into a record; more than that nobody gives one group.
        fields["grants_ended"] = held.len().into();
        fields["escalations_ended"] = json!(escalations.len());
        fields["grants"] = held.iter().take(100).map(|grant| json!(grant.id)).collect();
        self.record(&mut tx, Kind::GroupRemoved, by, fields).await?;
        tx.commit().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_group_has_one_name_however_it_is_typed() {
        for typed in ["Payments  team", " payments team ", "PAYMENTS TEAM", "Ｐayments team"] {
            assert_eq!(group_key(typed), "payments team", "{typed}");
        }
        assert!(parse_name("  ").is_err() && parse_name("a\u{202e}b").is_err() && parse_name(&"x".repeat(81)).is_err());
        assert_eq!(parse_name(" Payments \t team ").unwrap(), "Payments team");
    }
}
