//! Ceremonies: what was begun in one request and is ended in another (S-17). Their state is sealed; nothing here can
//! open it.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

use super::accounts::exactly_one;
use crate::domain::ids::{AccountId, CeremonyId};

/// A ceremony to be kept.
#[derive(Debug)]
pub struct NewCeremony<'a> {
    pub id: CeremonyId,
    pub purpose: &'a str,
    pub holder_hash: &'a [u8; 32],
    pub account: Option<AccountId>,
    pub state: &'a [u8],
    pub now: Timestamp,
    pub expires_at: Timestamp,
}

/// A ceremony that was found.
#[derive(Debug)]
pub struct Ceremony {
    pub id: CeremonyId,
    pub purpose: String,
    pub account: Option<AccountId>,
    pub state: Vec<u8>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

struct Row {
    id: uuid::Uuid,
    purpose: String,
    account_id: Option<uuid::Uuid>,
    state: Vec<u8>,
    created_at: jiff_sqlx::Timestamp,
    expires_at: jiff_sqlx::Timestamp,
}

impl From<Row> for Ceremony {
    fn from(row: Row) -> Self {
        Self {
            id: CeremonyId(row.id),
            purpose: row.purpose,
            account: row.account_id.map(AccountId),
            state: row.state,
            created_at: row.created_at.to_jiff(),
            expires_at: row.expires_at.to_jiff(),
        }
    }
}

/// Keeps a ceremony; of its holder's others for the same purpose, all but the newest `others` go.
pub async fn insert_ceremony(conn: &mut PgConnection, new: &NewCeremony<'_>, others: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from portal.ceremony where holder_hash = $1 and purpose = $2 and id not in (
            select id from portal.ceremony where holder_hash = $1 and purpose = $2
            order by created_at desc, id desc limit $3)",
        new.holder_hash.as_slice(),
        new.purpose,
        others
    )
    .execute(&mut *conn)
    .await?;
    let done = sqlx::query!(
        "insert into portal.ceremony (id, purpose, holder_hash, account_id, state, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        new.id.0,
        new.purpose,
        new.holder_hash.as_slice(),
        new.account.map(|account| account.0) as Option<uuid::Uuid>,
        new.state,
        new.now.to_sqlx() as jiff_sqlx::Timestamp,
        new.expires_at.to_sqlx() as jiff_sqlx::Timestamp
    );
    exactly_one(done.execute(conn).await?.rows_affected())
}

/// Takes a holder's ceremony away, whatever it was for and however old it is: it is looked at once.
pub async fn take_ceremony(
    conn: &mut PgConnection,
    id: CeremonyId,
    holder_hash: &[u8; 32],
) -> Result<Option<Ceremony>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "delete from portal.ceremony where id = $1 and holder_hash = $2
         returning id, purpose, account_id, state, created_at, expires_at",
        id.0,
        holder_hash.as_slice()
    );
    Ok(row.fetch_optional(conn).await?.map(Ceremony::from))
}

/// The holder's newest living ceremony for a purpose.
pub async fn find_ceremony(
    conn: &mut PgConnection,
    holder_hash: &[u8; 32],
    purpose: &str,
    now: Timestamp,
) -> Result<Option<Ceremony>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select id, purpose, account_id, state, created_at, expires_at from portal.ceremony
         where holder_hash = $1 and purpose = $2 and expires_at > $3 order by created_at desc, id desc limit 1",
        holder_hash.as_slice(),
        purpose,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(row.fetch_optional(conn).await?.map(Ceremony::from))
}

/// Counts a try before it is heard. False: it has had its `most` tries, or is gone.
pub async fn begin_try(conn: &mut PgConnection, id: CeremonyId, most: i32) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("update portal.ceremony set tries = tries + 1 where id = $1 and tries < $2", id.0, most);
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Ends a ceremony that has come to its end. False: another request was quicker.
pub async fn delete_ceremony(conn: &mut PgConnection, id: CeremonyId) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!("delete from portal.ceremony where id = $1", id.0);
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Ends whatever an account has begun.
pub async fn delete_ceremonies_of(conn: &mut PgConnection, account: AccountId) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from portal.ceremony where account_id = $1", account.0).execute(conn).await.map(|_| ())
}

/// Takes up to `most` ceremonies away whose time is over.
pub async fn delete_over(conn: &mut PgConnection, now: Timestamp, most: i64) -> Result<Vec<Ceremony>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "delete from portal.ceremony where id in (
            select id from portal.ceremony where expires_at <= $1 order by expires_at limit $2 for update skip locked)
         returning id, purpose, account_id, state, created_at, expires_at",
        now.to_sqlx() as jiff_sqlx::Timestamp,
        most
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(Ceremony::from).collect())
}
