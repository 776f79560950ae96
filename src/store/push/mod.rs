//! Browsers that are told something, the messages to them, and what the portal proves itself with to push services. What one is
//! told, and where it is reached, is sealed before it comes here.

pub mod browsers;
pub mod messages;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;

/// The kept pair; the private half is sealed.
#[derive(Debug)]
pub struct KeptKey {
    pub public: Vec<u8>,
    pub sealed: Vec<u8>,
}

/// # Errors
/// Whatever the database says.
pub async fn find_key(conn: &mut PgConnection) -> sqlx::Result<Option<KeptKey>> {
    sqlx::query_as!(KeptKey, "select public_key as public, sealed from portal.push_key").fetch_optional(conn).await
}

/// Keeps a pair where there is none, or in place of `old`, which cannot be opened any more. Whoever comes later finds the one
/// that is kept.
///
/// # Errors
/// Whatever the database says.
pub async fn keep_key(
    conn: &mut PgConnection,
    new: &KeptKey,
    old: Option<&KeptKey>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into portal.push_key as kept (public_key, sealed, made_at) values ($1, $2, $3)
        on conflict (one) do update set public_key = $1, sealed = $2, made_at = $3 where kept.sealed = $4",
        new.public,
        new.sealed,
        now.to_sqlx(),
        old.map(|old| old.sealed.as_slice())
    )
    .execute(conn)
    .await?;
    Ok(())
}
