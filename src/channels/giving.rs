//! Giving a notice to the channels it concerns: by its kind and the names of its gate. Whether it still holds, and what its pipeline
//! is tagged with, is looked at when the message is made.

use std::collections::HashMap;

use sqlx::Connection as _;

use super::{Channels, GATHER};
use crate::domain::access::GatePattern;
use crate::domain::ids::ChannelId;
use crate::store::channels::news::{self, About, ForChannel, News};
use crate::store::channels::{self, Channel, gates};

/// How many are given out in one transaction.
const AT_ONCE: i64 = 200;

impl Channels {
    pub(super) async fn give(&self) -> sqlx::Result<usize> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let mut conn = parts.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let all = channels::list_live(&mut tx, None).await?;
        if all.is_empty() {
            let passed = news::pass_over_due(&mut tx, now).await?;
            tx.commit().await?;
            return Ok(usize::try_from(passed).unwrap_or(usize::MAX));
        }
        let taken = news::take_due(&mut tx, now, AT_ONCE).await?;
        if taken.is_empty() {
            return Ok(0);
        }
        let patterns = by_channel(gates::list_live(&mut tx).await?);
        let gathered = now.checked_add(GATHER).unwrap_or(now);
        let mut given = Vec::new();
        for one in &taken {
            let concerned = all.iter().filter(|channel| concerns(one, channel, &patterns));
            given.extend(concerned.map(|channel| ForChannel {
                channel: channel.id,
                notice: one.notice,
                due: if channel.kind.is_chat() { gathered } else { now },
            }));
        }
        news::insert(&mut tx, &given, now).await?;
        let notices: Vec<i64> = taken.iter().map(|one| one.notice).collect();
        news::mark_given(&mut tx, &notices, now).await?;
        tx.commit().await?;
        Ok(taken.len())
    }
}

pub(super) fn by_channel(all: Vec<gates::Gates>) -> HashMap<ChannelId, Vec<GatePattern>> {
    let mut found: HashMap<ChannelId, Vec<GatePattern>> = HashMap::new();
    for one in all {
        found.entry(one.channel).or_default().push(one.pattern);
    }
    found
}

fn concerns(news: &News, channel: &Channel, patterns: &HashMap<ChannelId, Vec<GatePattern>>) -> bool {
    let fits = |pattern: &GatePattern| match &news.about {
        About::Approval { gate, .. } => pattern.fits_names(gate),
        About::Source { name, .. } => pattern.source.fits(name.as_str()),
    };
    channel.tells.tells(news.kind) && patterns.get(&channel.id).is_some_and(|patterns| patterns.iter().any(fits))
}
