//! One person decides in place of another, for a while.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::ids::{AccountId, StandInId};

/// A stand-in as it is stored, with the present names of both.
#[derive(Debug, Clone)]
pub struct StandIn {
    pub id: StandInId,
    pub for_account: AccountId,
    pub for_name: String,
    pub by_account: AccountId,
    pub by_name: String,
    pub from: Timestamp,
    pub until: Timestamp,
    pub note: String,
    pub made: Timestamp,
    pub ended: Option<Timestamp>,
}

struct Row {
    id: Uuid,
    for_account: Uuid,
    for_name: String,
    by_account: Uuid,
    by_name: String,
    from_at: jiff_sqlx::Timestamp,
    until_at: jiff_sqlx::Timestamp,
    note: String,
    made_at: jiff_sqlx::Timestamp,
    ended_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for StandIn {
    fn from(row: Row) -> Self {
        Self {
            id: StandInId(row.id),
            for_account: AccountId(row.for_account),
            for_name: row.for_name,
            by_account: AccountId(row.by_account),
            by_name: row.by_name,
            from: row.from_at.to_jiff(),
            until: row.until_at.to_jiff(),
            note: row.note,
            made: row.made_at.to_jiff(),
            ended: row.ended_at.map(jiff_sqlx::Timestamp::to_jiff),
        }
    }
}

macro_rules! stand_ins {
    ($where:literal $(, $arg:expr)*) => {
        sqlx::query_as!(
            Row,
            "select s.id, s.for_account, f.name as for_name, s.by_account, b.name as by_name, s.from_at, s.until_at, s.note,
                s.made_at, s.ended_at
            from portal.stand_in s join portal.account f on f.id = s.for_account
            join portal.account b on b.id = s.by_account " + $where
            $(, $arg)*
        )
    };
}

/// # Errors
/// Whatever the database says.
pub async fn insert(conn: &mut PgConnection, new: &StandIn) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.stand_in (id, for_account, by_account, from_at, until_at, note, made_at)
        values ($1, $2, $3, $4, $5, $6, $7)",
        new.id.0,
        new.for_account.0,
        new.by_account.0,
        new.from.to_sqlx(),
        new.until.to_sqlx(),
        new.note,
        new.made.to_sqlx()
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Those of one person, in both directions, that are not over at `now`, soonest first.
///
/// # Errors
/// Whatever the database says.
pub async fn list_of(conn: &mut PgConnection, account: AccountId, now: Timestamp) -> sqlx::Result<Vec<StandIn>> {
    let rows = stand_ins!(
        "where (s.for_account = $1 or s.by_account = $1) and s.until_at > $2 and s.ended_at is null
        order by s.from_at, s.id limit 100",
        account.0,
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(StandIn::from).collect())
}

/// Everybody's that are not over at `now`, soonest first.
///
/// # Errors
/// Whatever the database says.
pub async fn list_coming(conn: &mut PgConnection, now: Timestamp) -> sqlx::Result<Vec<StandIn>> {
    let rows = stand_ins!(
        "where s.until_at > $1 and s.ended_at is null order by s.from_at, s.id",
        now.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(StandIn::from).collect())
}

/// Those that held at a moment.
///
/// # Errors
/// Whatever the database says.
pub async fn list_at(conn: &mut PgConnection, at: Timestamp) -> sqlx::Result<Vec<StandIn>> {
    let rows = stand_ins!(
        "where s.from_at <= $1 and s.until_at > $1 and (s.ended_at is null or s.ended_at > $1) order by s.from_at, s.id",
        at.to_sqlx() as jiff_sqlx::Timestamp
    );
    Ok(rows.fetch_all(conn).await?.into_iter().map(StandIn::from).collect())
}

/// # Errors
/// Whatever the database says.
pub async fn find(conn: &mut PgConnection, id: StandInId) -> sqlx::Result<Option<StandIn>> {
    let row = stand_ins!("where s.id = $1", id.0).fetch_optional(conn).await?;
    Ok(row.map(StandIn::from))
}

/// How many of one person's absences overlap with this time.
///
/// # Errors
/// Whatever the database says.
pub async fn count_overlapping(
    conn: &mut PgConnection,
    (for_account, by_account): (AccountId, AccountId),
    (from, until): (Timestamp, Timestamp),
) -> sqlx::Result<i64> {
    let count = sqlx::query_scalar!(
        r#"select count(*) as "count!" from portal.stand_in
        where for_account = $1 and by_account = $2 and ended_at is null and from_at < $4 and until_at > $3"#,
        for_account.0,
        by_account.0,
        from.to_sqlx(),
        until.to_sqlx()
    );
    count.fetch_one(conn).await
}

/// Ends one before its time. False: it was ended already, or is over.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ended(
    conn: &mut PgConnection,
    id: StandInId,
    at: Timestamp,
    by: Option<AccountId>,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.stand_in set ended_at = $2, ended_by = $3 where id = $1 and ended_at is null and until_at > $2",
        id.0,
        at.to_sqlx(),
        by.map(|by| by.0)
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}
