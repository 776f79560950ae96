//! What time the database says it is.

use jiff::Timestamp;
use sqlx::PgConnection;

/// The database's own clock, at this moment rather than at the start of a transaction.
pub async fn load_now(conn: &mut PgConnection) -> Result<Timestamp, sqlx::Error> {
    let now = sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#).fetch_one(conn).await?;
    Ok(now.to_jiff())
}
