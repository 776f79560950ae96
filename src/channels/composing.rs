//! Messages of what is due for a channel: for a chat one of everything, so that fifty approvals that open together are one
//! message; for a program one for each notice. A chat is told one thing after the other: while a message waits, what comes is
//! gathered for the next, however long that takes.

use jiff::{SignedDuration, Timestamp};
use sqlx::{Connection as _, PgConnection};

use super::giving::by_channel;
use super::message::Told;
use super::{Channels, LEAST_USE, OF_USE, message, webhook};
use crate::access::right::TAGS_LAST;
use crate::approvals::subject::{self, Subject, once_each};
use crate::domain::access::GatePattern;
use crate::domain::approval::AtAws;
use crate::domain::channels::Kind as ChannelKind;
use crate::domain::ids::{ApprovalId, ChannelId, DeliveryId};
use crate::domain::notices::Kind;
use crate::store::channels::deliveries::{self, NewDelivery};
use crate::store::channels::news::{self, About, News};
use crate::store::channels::{self, Channel, gates};

/// Messages that may wait for a channel at a time; what comes beyond waits as news.
const OF_CHATS: i64 = 1;
pub(super) const OF_WEBHOOKS: i64 = 500;
/// How much of what waits for a channel is looked at, and how many messages to a program are made, in one transaction.
const LOOKED_AT: i64 = 2000;
const MADE: usize = 100;
/// What cannot be told yet is looked at again after so long.
const AGAIN: SignedDuration = SignedDuration::from_secs(60);

/// What is done about something that a channel was to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Tell,
    Later,
    Drop,
}

/// What a message is about.
#[derive(Default)]
pub(super) struct Matter {
    approvals: Vec<ApprovalId>,
    /// Where it does nothing but ask for decisions: until when the last can be made.
    until: Option<Timestamp>,
    is_of_chat: bool,
}

impl Matter {
    /// Of a chat's message that tells of all this.
    fn of(tell: &[News]) -> Self {
        let until = tell.iter().map(News::deadline).collect::<Option<Vec<_>>>();
        let approvals = tell.iter().filter_map(|one| one.about.approval()).collect();
        Self { approvals, until: until.and_then(|all| all.into_iter().max()), is_of_chat: true }
    }
}

impl Channels {
    pub(super) async fn compose(&self) -> sqlx::Result<usize> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let due = news::list_due(&mut conn, now, (OF_CHATS, OF_WEBHOOKS)).await?;
        // One channel for which it cannot be done holds up no other.
        let (mut done, mut trouble) = (0, None);
        for channel in due {
            match self.compose_for(&mut conn, channel, now).await {
                Ok(is_ours) => done += usize::from(is_ours),
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(done), Err)
    }

    /// False: another replica is at it.
    async fn compose_for(&self, conn: &mut PgConnection, id: ChannelId, now: Timestamp) -> sqlx::Result<bool> {
        let mut tx = conn.begin().await?;
        if !channels::lock_if_free(&mut tx, id).await? {
            return Ok(false);
        }
        let Some(channel) = channels::list_live(&mut tx, Some(id)).await?.pop() else { return Ok(false) };
        let patterns = by_channel(gates::list_live(&mut tx).await?).remove(&id).unwrap_or_default();
        let (mut tell, mut dealt_with, mut later) = (Vec::new(), Vec::new(), Vec::new());
        for one in news::list(&mut tx, id, LOOKED_AT).await? {
            match judge(&one, &channel, &patterns, now) {
                Fate::Drop => dealt_with.push(one.notice),
                Fate::Later => later.push(one.notice),
                Fate::Tell => tell.push(one),
            }
        }
        if channel.kind == ChannelKind::Webhook {
            let room = OF_WEBHOOKS.saturating_sub(channel.waiting);
            tell.truncate(usize::try_from(room).unwrap_or(0).min(MADE));
        }
        let (blind, others): (Vec<&News>, Vec<&News>) = tell.iter().partition(|one| one.kind == Kind::Blind);
        let blind: Vec<i64> = blind.iter().map(|one| one.notice).collect();
        dealt_with.extend(others.iter().map(|one| one.notice));
        if channel.kind.is_chat() {
            let asks = |one: &News| one.about.approval().filter(|_| one.kind.asks()).map(|id| (id, one.kind));
            self.put_message(&mut tx, &channel, once_each(tell, asks), now).await?;
        } else {
            for told in look_up(&mut tx, &tell, MADE).await? {
                let delivery = DeliveryId(self.0.random.uuid_v7(now));
                let body = webhook::body(&told, delivery, |path| self.address_of(path));
                let approvals = told.approval().into_iter().collect();
                let matter = Matter { approvals, until: told.deadline(), is_of_chat: false };
                self.put(&mut tx, (delivery, id), (told.kind.name(), &body), &matter, now).await?;
            }
        }
        news::mark_told_blind(&mut tx, id, &blind).await?;
        news::delete(&mut tx, id, &dealt_with).await?;
        news::put_off(&mut tx, id, &later, now.checked_add(AGAIN).unwrap_or(now)).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn put_message(
        &self,
        conn: &mut PgConnection,
        channel: &Channel,
        mut tell: Vec<News>,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        tell.sort_by_key(|one| (one.kind.place(), one.notice));
        let told = look_up(conn, &tell, message::SHOWN).await?;
        let Some(first) = told.first() else { return Ok(()) };
        let tells = if told.len() == 1 { first.kind.name() } else { "several" };
        let message = message::of(&told, |path| self.address_of(path));
        let delivery = DeliveryId(self.0.random.uuid_v7(now));
        self.put(conn, (delivery, channel.id), (tells, &message.body(channel.kind)), &Matter::of(&tell), now).await
    }

    /// Puts a message where it waits to be sent.
    pub(super) async fn put(
        &self,
        conn: &mut PgConnection,
        (id, channel): (DeliveryId, ChannelId),
        (tells, body): (&str, &str),
        matter: &Matter,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        // What only asks is of no use once there is nothing left to decide.
        let of_use = matter.until.map_or(OF_USE, |until| until.duration_since(now).clamp(LEAST_USE, OF_USE));
        let useless_at = now.checked_add(of_use).unwrap_or(Timestamp::MAX);
        let asks = matter.is_of_chat && matter.until.is_some();
        let new = NewDelivery { id, channel, tells, body, about: &matter.approvals, asks, made_at: now, useless_at };
        deliveries::insert(conn, &new).await
    }
}

/// Whether something is worth telling a channel now, by how it stands and what the channel is told by now.
fn judge(news: &News, channel: &Channel, patterns: &[GatePattern], now: Timestamp) -> Fate {
    let is_old = news.due.checked_add(OF_USE).is_ok_and(|until| until <= now);
    if is_old || !channel.tells.tells(news.kind) {
        return Fate::Drop;
    }
    match &news.about {
        About::Source { name, blind_since, is_told_blind } => {
            let fits = patterns.iter().any(|pattern| pattern.source.fits(name.as_str()));
            let holds = if news.kind == Kind::Seen { *is_told_blind } else { *blind_since == Some(news.at) };
            if fits && holds { Fate::Tell } else { Fate::Drop }
        }
        About::Approval { gate, at_aws, expires_at, is_being_decided, tags, .. } => {
            let is_open = *at_aws == AtAws::Open;
            if news.kind.asks() != is_open || (news.kind.asks() && *expires_at <= now) {
                return Fate::Drop;
            }
            let lately = tags.as_ref().filter(|(_, read_at)| *read_at >= now - TAGS_LAST).map(|(tags, _)| tags);
            if patterns.iter().any(|pattern| pattern.fits(gate, lately)) {
                // What somebody decided here just now is waited for: it may come to nothing.
                return if news.kind.asks() && *is_being_decided { Fate::Later } else { Fate::Tell };
            }
            let may_fit = lately.is_none() && patterns.iter().any(|pattern| pattern.fits_names(gate));
            if may_fit { Fate::Later } else { Fate::Drop }
        }
    }
}

/// So many of them with all that is told; of the rest only what kind it is.
async fn look_up(conn: &mut PgConnection, tell: &[News], shown: usize) -> sqlx::Result<Vec<Told>> {
    let about: Vec<_> = tell
        .iter()
        .map(|one| match &one.about {
            About::Approval { id, .. } => subject::About::Approval(*id),
            About::Source { name, .. } => subject::About::Source(name, one.at),
        })
        .collect();
    let found = subject::look_up(conn, &about, shown).await?;
    let told = |(one, subject): (&News, Option<Subject>)| Some(Told { kind: one.kind, subject: subject? });
    Ok(tell.iter().zip(found).filter_map(told).collect())
}
