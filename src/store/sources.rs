//! The source table: one row per configured account and region, and whether it can be read. Also the leases that keep two
//! replicas from sweeping the same source; they use the database's clock, and correctness never rests on them (H-01, H-02).

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Inconsistent;
use crate::domain::ids::SourceName;

/// A source as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    pub name: SourceName,
    pub account: Option<String>,
    pub region: Option<String>,
    pub configured: bool,
    pub swept_at: Option<Timestamp>,
    /// Since when, and why, the source as a whole cannot be read.
    pub blind: Option<(Timestamp, String)>,
}

struct Row {
    name: String,
    account: Option<String>,
    region: Option<String>,
    configured: bool,
    swept_at: Option<jiff_sqlx::Timestamp>,
    blind_since: Option<jiff_sqlx::Timestamp>,
    blind_why: Option<String>,
}

impl TryFrom<Row> for Source {
    type Error = Inconsistent;

    fn try_from(row: Row) -> Result<Self, Inconsistent> {
        let problem = |bad: crate::domain::ids::BadId| Inconsistent {
            table: "portal.source",
            row: row.name.clone(),
            problem: bad.to_string(),
        };
        Ok(Self {
            name: SourceName::parse(row.name.clone()).map_err(problem)?,
            account: row.account,
            region: row.region,
            configured: row.configured,
            swept_at: row.swept_at.map(jiff_sqlx::Timestamp::to_jiff),
            blind: row.blind_since.map(jiff_sqlx::Timestamp::to_jiff).zip(row.blind_why),
        })
    }
}

/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn find(conn: &mut PgConnection, name: &SourceName) -> sqlx::Result<Option<Source>> {
    let row = sqlx::query_as!(
        Row,
        "select name, account, region, configured, swept_at, blind_since, blind_why from portal.source where name = $1",
        name.as_str()
    );
    Ok(row.fetch_optional(conn).await?.map(Source::try_from).transpose()?)
}

/// All sources, by name, also those no longer configured.
///
/// # Errors
/// Whatever the database says, also of an impossible row.
pub async fn list(conn: &mut PgConnection) -> sqlx::Result<Vec<Source>> {
    let rows = sqlx::query_as!(
        Row,
        "select name, account, region, configured, swept_at, blind_since, blind_why from portal.source order by name"
    );
    rows.fetch_all(conn).await?.into_iter().map(|row| Source::try_from(row).map_err(Into::into)).collect()
}

/// Makes the configured sources known, and marks all others as no longer configured.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_configured(conn: &mut PgConnection, names: &[String], regions: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.source (name, region) select * from unnest($1::text[], $2::text[])
        on conflict (name) do update set region = excluded.region, configured = true
        where not portal.source.configured or portal.source.region is distinct from excluded.region",
        names,
        regions
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!("update portal.source set configured = false where configured and name <> all ($1)", names)
        .execute(conn)
        .await?;
    Ok(())
}

/// # Errors
/// Whatever the database says.
pub async fn mark_account(conn: &mut PgConnection, name: &SourceName, account: &str) -> sqlx::Result<()> {
    sqlx::query!("update portal.source set account = $2 where name = $1", name.as_str(), account).execute(conn).await?;
    Ok(())
}

/// The source cannot be read. True when that is news; otherwise only the reason is kept up to date.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_blind(conn: &mut PgConnection, name: &SourceName, at: Timestamp, why: &str) -> sqlx::Result<bool> {
    let news = sqlx::query!(
        "update portal.source set blind_since = $2, blind_why = $3 where name = $1 and blind_since is null",
        name.as_str(),
        at.to_sqlx(),
        why
    )
    .execute(&mut *conn)
    .await?;
    if news.rows_affected() == 1 {
        return Ok(true);
    }
    sqlx::query!(
        "update portal.source set blind_why = $2 where name = $1 and blind_why is distinct from $2",
        name.as_str(),
        why
    )
    .execute(conn)
    .await?;
    Ok(false)
}

/// The source can be read again. True when that is news.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_seen(conn: &mut PgConnection, name: &SourceName) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "update portal.source set blind_since = null, blind_why = null where name = $1 and blind_since is not null",
        name.as_str()
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Since when, and why, what AWS announces of the source is not relied on although it should be.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_ears(
    conn: &mut PgConnection,
    name: &SourceName,
    deaf: Option<&(Timestamp, String)>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update portal.source set deaf_since = $2, deaf_why = $3
        where name = $1 and (deaf_since, deaf_why) is distinct from ($2, $3)",
        name.as_str(),
        deaf.map(|(since, _)| since.to_sqlx()) as Option<jiff_sqlx::Timestamp>,
        deaf.map(|(_, why)| why.as_str())
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// A sweep that began at `at` has read everything that could be read.
///
/// # Errors
/// Whatever the database says.
pub async fn mark_swept(conn: &mut PgConnection, name: &SourceName, at: Timestamp) -> sqlx::Result<()> {
    sqlx::query!("update portal.source set swept_at = $2 where name = $1", name.as_str(), at.to_sqlx())
        .execute(conn)
        .await?;
    Ok(())
}

/// Takes a lease that is free, run out, or held by `holder` already. False: somebody else holds it.
///
/// # Errors
/// Whatever the database says.
pub async fn take_lease(conn: &mut PgConnection, name: &str, holder: Uuid, seconds: f64) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "insert into portal.lease (name, holder, expires_at) values ($1, $2, clock_timestamp() + make_interval(secs => $3))
        on conflict (name) do update set holder = excluded.holder, expires_at = excluded.expires_at
        where portal.lease.holder = excluded.holder or portal.lease.expires_at <= clock_timestamp()",
        name,
        holder,
        seconds
    );
    Ok(done.execute(conn).await?.rows_affected() == 1)
}

/// Lets go of a lease.
///
/// # Errors
/// Whatever the database says.
pub async fn release_lease(conn: &mut PgConnection, name: &str, holder: Uuid) -> sqlx::Result<()> {
    sqlx::query!("delete from portal.lease where name = $1 and holder = $2", name, holder).execute(conn).await?;
    Ok(())
}
