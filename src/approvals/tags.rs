//! Reading what a pipeline is tagged with, and keeping it: for grants that are about tags. What cannot be read is kept as it
//! was, and lets nobody in.

use super::{Reader, RefreshError, UNKNOWN_ACCOUNT, place};
use crate::codepipeline::Gateway;
use crate::codepipeline::observed::ReadError;
use crate::domain::access::Tags;
use crate::domain::ids::{Gate, PipelineName};
use crate::store::access::tags;

impl Reader {
    /// Reads the tags of a gate's pipeline at AWS now, ahead of any sweep, and keeps them.
    ///
    /// # Errors
    /// [`RefreshError::Unreadable`] when AWS does not say.
    pub async fn read_tags(&self, gate: &Gate) -> Result<Tags, RefreshError> {
        let gateway = self.urgent(&gate.source)?;
        let pool = &self.0.database.decisions;
        let account = self.place(&mut *pool.acquire().await?, &gateway).await?.account;
        let (at, tags) = (self.0.clock.now(), read(&gateway, &account, &gate.pipeline).await?);
        let mut tx = pool.begin().await?;
        tags::keep(&mut tx, (&gate.source, &gate.pipeline), &tags, at).await?;
        tx.commit().await?;
        Ok(tags)
    }

    /// The same for a sweep, at its pace.
    pub(crate) async fn sweep_tags(
        &self,
        gateway: &Gateway,
        account: Option<&str>,
        pipeline: &PipelineName,
    ) -> Result<(), RefreshError> {
        let account = place(gateway, account).account;
        let (at, tags) = (self.0.clock.now(), read(gateway, &account, pipeline).await?);
        let mut tx = self.0.database.pages.begin().await?;
        tags::keep(&mut tx, (&gateway.source().name, pipeline), &tags, at).await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn read(gateway: &Gateway, account: &str, pipeline: &PipelineName) -> Result<Tags, ReadError> {
    if account == UNKNOWN_ACCOUNT {
        return Err(ReadError::Broken("the account of this source is not known yet".into()));
    }
    gateway.list_tags(account, pipeline).await
}
