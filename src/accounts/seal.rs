//! Which key secrets are sealed with. Without `secret_key_file` the portal makes one and keeps it in the database, so that
//! replicas need not be told; with it the database alone opens nothing.

use std::path::Path;

use sqlx::Connection as _;

use crate::clock::Clock;
use crate::database::Database;
use crate::random::Random;
use crate::sealing::{NoKey, Purpose, Sealer};
use crate::store::seal;

const PROOF: &[u8] = b"countersign";

/// Why secrets cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    #[error(transparent)]
    NoKey(#[from] NoKey),
    #[error(
        "secret_key_file holds another key than the one this database's secrets are sealed with. Every replica needs the \
         same file; to replace the key, put the new one in a line above the old one"
    )]
    OtherKey,
    #[error(
        "this database's secrets are sealed with a key from a file: set secret_key_file (COUNTERSIGN_SECRET_KEY_FILE) to it"
    )]
    FileMissing,
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// The sealer of this portal; every replica gets the same.
///
/// # Errors
/// [`SealError`]; the text says what to do.
pub async fn open_sealer(
    database: &Database,
    file: Option<&Path>,
    clock: &Clock,
    random: &Random,
) -> Result<Sealer, SealError> {
    let mut conn = database.pages.acquire().await?;
    let mut tx = conn.begin().await?;
    let sealer = match file {
        Some(file) => {
            let sealer = Sealer::open(file, random.clone())?;
            seal::insert_seal(&mut tx, None, &sealer.seal(Purpose::Check, "", PROOF), clock.now()).await?;
            let kept = seal::find_seal(&mut tx).await?.ok_or(sqlx::Error::RowNotFound)?;
            let known = sealer.open_sealed(Purpose::Check, "", &kept.proof).is_ok();
            let sealer = match &kept.key {
                Some(old) => sealer.also_opening(old),
                None if known => sealer,
                None => return Err(SealError::OtherKey),
            };
            // From now on it takes the file's first key.
            if !known {
                seal::replace_proof(&mut tx, &sealer.seal(Purpose::Check, "", PROOF)).await?;
            }
            sealer
        }
        None => {
            let made = zeroize::Zeroizing::new(random.bytes::<32>());
            let fresh = of_key(made.as_slice(), random)?;
            let proof = fresh.seal(Purpose::Check, "", PROOF);
            seal::insert_seal(&mut tx, Some(made.as_slice()), &proof, clock.now()).await?;
            let kept = seal::find_seal(&mut tx).await?.ok_or(sqlx::Error::RowNotFound)?;
            let sealer = of_key(kept.key.as_deref().ok_or(SealError::FileMissing)?, random)?;
            if sealer.open_sealed(Purpose::Check, "", &kept.proof).is_err() {
                return Err(SealError::FileMissing);
            }
            sealer
        }
    };
    tx.commit().await?;
    Ok(sealer)
}

fn of_key(key: &[u8], random: &Random) -> Result<Sealer, SealError> {
    Sealer::of_keys(&[key], random.clone()).ok_or(SealError::FileMissing)
}
