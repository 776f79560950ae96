//! What secrets are sealed with: the key itself where no file has it, and a proof of which key it is.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgConnection;
use zeroize::Zeroizing;

/// The kept key and proof.
pub struct Seal {
    /// Absent where the key is in a file.
    pub key: Option<Zeroizing<Vec<u8>>>,
    pub proof: Vec<u8>,
}

/// Keeps a key and proof unless there are some.
pub async fn insert_seal(
    conn: &mut PgConnection,
    key: Option<&[u8]>,
    proof: &[u8],
    now: Timestamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into portal.seal (key, proof, made_at) values ($1, $2, $3) on conflict (one) do nothing",
        key,
        proof,
        now.to_sqlx() as jiff_sqlx::Timestamp
    )
    .execute(conn)
    .await
    .map(|_| ())
}

pub async fn find_seal(conn: &mut PgConnection) -> Result<Option<Seal>, sqlx::Error> {
    let row = sqlx::query!("select key, proof from portal.seal").fetch_optional(conn).await?;
    Ok(row.map(|row| Seal { key: row.key.map(Zeroizing::new), proof: row.proof }))
}

/// The proof is of another key from now on; what the old one sealed stays openable.
pub async fn replace_proof(conn: &mut PgConnection, proof: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("update portal.seal set proof = $1", proof).execute(conn).await.map(|_| ())
}
