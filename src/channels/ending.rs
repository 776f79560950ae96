//! What admins end: the gates that a channel is told of, and the channel. What waits to be sent about them is given up. Each with its
//! record in the same transaction.

use serde_json::json;
use sqlx::Connection as _;

use super::Channels;
use super::making::{NO_CHANNEL, lock_channel, told};
use crate::access::AccessError;
use crate::accounts::By;
use crate::audit;
use crate::domain::ids::{ChannelGatesId, ChannelId, DeliveryId};
use crate::store::channels;
use crate::store::channels::deliveries::{self, Waiting};
use crate::store::channels::gates::{self, Gates};

impl Channels {
    /// It is told of these gates no longer, unless by another pattern: nor by what waits to be sent.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn end_gates(&self, by: &By, id: ChannelId, ended: ChannelGatesId) -> Result<(), AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let channel = lock_channel(&mut tx, by, id).await?;
        let gone = AccessError::Gone("It is not told of those gates, or no longer.");
        let now = self.0.clock.now();
        let mut live = gates::list_live(&mut tx).await?;
        live.retain(|one| one.channel == id);
        let Some(found) = live.iter().position(|one| one.id == ended).map(|at| live.remove(at)) else {
            return Err(gone);
        };
        if !gates::mark_ended(&mut tx, (id, ended), now).await? {
            return Err(gone);
        }
        let waiting = deliveries::list_waiting(&mut tx, id, now).await?;
        let of_no_use: Vec<DeliveryId> =
            waiting.into_iter().filter(|one| !may_tell(one, &live)).map(|one| one.id).collect();
        deliveries::give_up(&mut tx, &of_no_use, (now, "the channel is no longer told of all that it tells of"))
            .await?;
        let mut fields = told(id, channel.kind, (&channel.name, &channel.host), channel.tells);
        fields["gates_ended"] = found.pattern.to_string().into();
        fields["pattern"] = json!(found.pattern.fields());
        self.record(&mut tx, audit::Kind::ChannelChanged, by, fields).await?;
        tx.commit().await?;
        Ok(())
    }

    /// It is told nothing more, not even what waits; where it led is forgotten.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn end(&self, by: &By, id: ChannelId) -> Result<(), AccessError> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let channel = lock_channel(&mut tx, by, id).await?;
        gates::end_all(&mut tx, id, now).await?;
        if !channels::mark_ended(&mut tx, id, now, by.account()).await? {
            return Err(NO_CHANNEL);
        }
        let fields = told(id, channel.kind, (&channel.name, &channel.host), channel.tells);
        self.record(&mut tx, audit::Kind::ChannelEnded, by, fields).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Whether what a message tells of is told to the channel still, or, while it is not known what a pipeline is tagged with, may be.
fn may_tell(waiting: &Waiting, live: &[Gates]) -> bool {
    live.iter().any(|one| match &waiting.tags {
        None => one.pattern.fits_names(&waiting.gate),
        tags => one.pattern.fits(&waiting.gate, tags.as_ref()),
    })
}
