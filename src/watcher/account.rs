//! Which account a source is. Asked once in the life of a process, because everything a person is shown names it and every
//! stored definition belongs to it: of the configuration, of STS, or of a pipeline's ARN where there is no STS.

use super::Source;
use crate::approvals::Reader;
use crate::codepipeline::observed::{Listing, ReadError};
use crate::store::{pipelines, sources};

/// The account, as far as it can be known.
pub(super) enum Account {
    Known(Option<String>),
    /// The credentials are of another account than the configuration says.
    Wrong(String),
}

/// Finds the account out and keeps it. When another one was known before, every definition is forgotten: they were that
/// one's.
pub(super) async fn settle(
    reader: &Reader,
    source: &Source,
    listed: &[Listing],
    stored: Option<&str>,
) -> sqlx::Result<Account> {
    let name = &source.gateway.source().name;
    let configured = source.gateway.source().account.as_deref();
    let found = match source.gateway.identify().await {
        Some(identity) => Some(identity.account),
        None => from_definition(source, listed).await,
    };
    if let (Some(configured), Some(found)) = (configured, found.as_deref())
        && configured != found
    {
        return Ok(Account::Wrong(format!(
            "The credentials of this source belong to account {found}, but the configuration says {configured}. \
             Correct `account` or the credentials."
        )));
    }
    let account = found.or_else(|| configured.map(str::to_owned)).or_else(|| stored.map(str::to_owned));
    if let Some(account) = account.as_deref().filter(|account| Some(*account) != stored) {
        let mut tx = reader.database().pages.begin().await?;
        if stored.is_some() {
            pipelines::forget_versions(&mut tx, name).await?;
        }
        sources::mark_account(&mut tx, name, account).await?;
        tx.commit().await?;
    }
    Ok(Account::Known(account))
}

/// A pipeline's ARN names its account.
async fn from_definition(source: &Source, listed: &[Listing]) -> Option<String> {
    for listing in listed.iter().take(3) {
        match source.gateway.read_definition(&listing.name).await {
            Ok(definition) => return definition.account,
            Err(ReadError::Denied { .. } | ReadError::Gone(_) | ReadError::Broken(_)) => {}
            Err(_) => return None,
        }
    }
    None
}
