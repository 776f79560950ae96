//! The one way a record is written: a call of `audit.append`, which numbers, times, chains and stores it. It must be the
//! last statement before the caller commits, because it holds the head's lock until then.

use jiff::Timestamp;
use sqlx::PgConnection;

use super::entry::Hash;
use super::kind::Kind;
use super::payload::Payload;

/// A record as it was numbered. It exists for others once the caller's COMMIT has returned, and not before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub seq: i64,
    pub at: Timestamp,
    pub hash: Hash,
}

impl Appended {
    /// The first 16 hexadecimal digits of the hash: what goes to AWS and onto pages as a witness (A-17).
    #[must_use]
    pub fn receipt(&self) -> String {
        hex::encode(&self.hash[..8])
    }
}

/// Why a record was not written. The transaction is of no use any more; whatever was to be recorded must not happen.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("the record was refused: {0}")]
    Refused(String),
    #[error("the record could not be written: {0}")]
    Database(#[source] sqlx::Error),
}

/// Appends one record within the caller's transaction. `actor` is an opaque id of printable ASCII (a person's id,
/// `system`), never a name or an address: it cannot be erased later.
pub async fn append(
    conn: &mut PgConnection,
    kind: Kind,
    actor: &str,
    payload: &Payload,
) -> Result<Appended, AppendError> {
    let row = sqlx::query!(
        r#"select o_seq as "seq!", o_at as "at!", o_hash as "hash!" from audit.append($1, $2, $3)"#,
        kind.name(),
        actor,
        payload.as_bytes()
    )
    .fetch_one(conn)
    .await
    .map_err(refusal)?;
    let hash = row.hash.try_into().map_err(|_| AppendError::Refused("the hash has not 32 bytes".to_owned()))?;
    Ok(Appended { seq: row.seq, at: row.at.to_jiff(), hash })
}

/// Appends these records in this order and in one statement: for who has done much, and must not hold the head for as many
/// round trips.
pub async fn append_all(conn: &mut PgConnection, records: &[(Kind, String, Payload)]) -> Result<(), AppendError> {
    let kinds: Vec<String> = records.iter().map(|(kind, _, _)| kind.name().to_owned()).collect();
    let actors: Vec<String> = records.iter().map(|(_, actor, _)| actor.clone()).collect();
    let payloads: Vec<Vec<u8>> = records.iter().map(|(_, _, payload)| payload.as_bytes().to_vec()).collect();
    let appended = sqlx::query_scalar!(
        r#"select a.o_seq as "seq!" from
            (select * from unnest($1::text[], $2::text[], $3::bytea[]) with ordinality as r (kind, actor, payload, n)
                order by n offset 0) r
            cross join lateral audit.append(r.kind, r.actor, r.payload) a"#,
        &kinds,
        &actors,
        &payloads
    )
    .fetch_all(conn)
    .await
    .map_err(refusal)?;
    match appended.len() == records.len() && appended.is_sorted() {
        true => Ok(()),
        false => Err(AppendError::Refused("not every record was written in its order".to_owned())),
    }
}

fn refusal(error: sqlx::Error) -> AppendError {
    match error.as_database_error() {
        Some(said) if said.code().as_deref() == Some("22023") => AppendError::Refused(said.message().to_owned()),
        _ => AppendError::Database(error),
    }
}
