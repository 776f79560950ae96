//! Stand-ins: an approver names somebody who decides in their place for a while, among those whom a grant lets stand in.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::grants::find_approver;
use super::picture::Picture;
use super::{Access, AccessError, bad, hold_session, holds, parse_note};
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::ids::StandInId;
use crate::domain::people::{Person, Role};
use crate::mail::{Letter, Outbox};
use crate::store::access::rights;
use crate::store::access::stand_ins::{self, StandIn};
use crate::store::accounts;

/// Nobody is away for longer; whoever is, names somebody again.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(90 * 24);

/// What an approver asks for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub email: String,
    pub from: Timestamp,
    pub until: Timestamp,
    pub note: String,
}

impl Access {
    /// The stand-ins of one person, in both directions, that are not over.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list_stand_ins_of(&self, person: &Person) -> Result<Vec<StandIn>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(stand_ins::list_of(&mut conn, person.account, self.0.clock.now()).await?)
    }

    /// Everybody's stand-ins that are not over.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list_stand_ins(&self) -> Result<Vec<StandIn>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(stand_ins::list_coming(&mut conn, self.0.clock.now()).await?)
    }

    /// Names somebody who decides in this person's place. They get nothing by it but what both may: the person decide, and
    /// they stand in at.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn name_stand_in(&self, person: &Person, asked: &Asked) -> Result<StandInId, AccessError> {
        let now = self.0.clock.now();
        let (from, until) = check_times(asked, now)?;
        let note = parse_note(&asked.note)?;
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let (account, name) = find_approver(&mut tx, "email", &asked.email).await?;
        if account == person.account {
            return Err(bad("email", "Nobody stands in for themselves."));
        }
        let locked = rights::lock_accounts(&mut tx, &[person.account, account]).await?;
        if locked.len() != 2 || locked.iter().any(|one| one.disabled || !holds(one, Role::Approver)) {
            return Err(AccessError::NotAllowed("Both of you must be enabled approvers."));
        }
        hold_session(&mut tx, person).await?;
        let picture = Picture::load(&mut tx, now).await?;
        if !picture.possible_stand_ins(person.account).iter().any(|one| one.account == account) {
            let problem = format!("No grant lets {name} stand in at a gate that you may decide. Ask an admin for one.");
            return Err(bad("email", problem));
        }
        if stand_ins::count_overlapping(&mut tx, (person.account, account), (from, until)).await? > 0 {
            return Err(bad("from", format!("{name} stands in for you during a part of this time already.")));
        }
        let new = StandIn {
            id: StandInId(self.0.random.uuid_v7(now)),
            for_account: person.account,
            for_name: person.name.clone(),
            by_account: account,
            by_name: name,
            from,
            until,
            note,
            made: now,
            ended: None,
        };
        stand_ins::insert(&mut tx, &new).await?;
        let opening = format!(
            "{} names you as their stand-in: you may decide what they may, as far as your grants allow.",
            new.for_name
        );
        self.mail_stand_in(&mut tx, &new, &opening).await?;
        self.mail_lender(&mut tx, &new).await?;
        self.record(&mut tx, Kind::StandInNamed, &By::Person(Box::new(person.clone())), told(&new)).await?;
        tx.commit().await?;
        Ok(new.id)
    }

    /// Ends a stand-in before its time: whose place it is, or an admin.
    ///
    /// # Errors
    /// [`AccessError`]; to anybody else there is none of this id (S-31).
    pub async fn end_stand_in(&self, by: &Person, id: StandInId, as_admin: bool) -> Result<(), AccessError> {
        let gone = AccessError::Gone("There is no such stand-in, or it is over.");
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let locked = rights::lock_accounts(&mut tx, &[by.account]).await?;
        hold_session(&mut tx, by).await?;
        let is_admin = locked.iter().any(|one| !one.disabled && holds(one, Role::Admin));
        let Some(found) = stand_ins::find(&mut tx, id).await? else { return Err(gone) };
        if found.for_account != by.account && !(as_admin && is_admin) {
            return Err(gone);
        }
        if !stand_ins::mark_ended(&mut tx, id, self.0.clock.now(), Some(by.account)).await? {
            return Err(gone);
        }
        let opening = format!("You stand in for {} no longer.", found.for_name);
        self.mail_stand_in(&mut tx, &found, &opening).await?;
        self.record(&mut tx, Kind::StandInEnded, &By::Person(Box::new(by.clone())), told(&found)).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Access {
    /// Tells whoever stands in.
    async fn mail_stand_in(&self, conn: &mut PgConnection, one: &StandIn, opening: &str) -> sqlx::Result<()> {
        let Some(address) = accounts::find_address(conn, one.by_account).await? else { return Ok(()) };
        let letter = |outbox: &Outbox| {
            Letter::new("stand-in", &format!("Standing in for {} in Countersign", one.for_name))
                .saying(opening)
                .fact("For", &one.for_name)
                .moment("From", one.from)
                .moment("Until", one.until)
                .fact("Portal", &outbox.address_of("/"))
                .saying("The record says of every decision who made it and for whom.")
        };
        self.put(conn, (one.by_account, &address), letter).await
    }
}

impl Access {
    /// Tells whoever lends: it may not have been them.
    async fn mail_lender(&self, conn: &mut PgConnection, one: &StandIn) -> sqlx::Result<()> {
        let Some(address) = accounts::find_address(conn, one.for_account).await? else { return Ok(()) };
        let letter = |outbox: &Outbox| {
            Letter::new("stand-in", &format!("{} stands in for you in Countersign", one.by_name))
                .saying(&format!("You have named {} to decide in your place.", one.by_name))
                .moment("From", one.from)
                .moment("Until", one.until)
                .fact("Portal", &outbox.address_of("/me/stand-ins"))
                .saying("If that was not you, end it there, tell an admin of the portal at once, and choose a new password.")
        };
        self.put(conn, (one.for_account, &address), letter).await
    }
}

fn check_times(asked: &Asked, now: Timestamp) -> Result<(Timestamp, Timestamp), AccessError> {
    // A form that was filled in a minute ago means from now on.
    let from = asked.from.max(now);
    if asked.until <= from {
        return Err(bad("until", "This is over before it begins. Give a later end."));
    }
    if asked.until.duration_since(from) > LONGEST {
        return Err(bad("until", "Somebody stands in for at most 90 days at a time."));
    }
    if from.duration_since(now) > SignedDuration::from_hours(366 * 24) {
        return Err(bad("from", "This begins more than a year from now."));
    }
    Ok((from, asked.until))
}

fn told(one: &StandIn) -> Value {
    json!({
        "stand_in": one.id, "for": one.for_account, "for_name": one.for_name, "by_person": one.by_account,
        "by_name": one.by_name, "from": one.from, "until": one.until, "note": one.note,
    })
}
