//! Delivers what is in the outbox. Any number of replicas do so beside each other: a mail is taken with a lease that is
//! committed before the mail server is asked, and what became of it is only written down by whoever still holds it (H-04).

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use sqlx::PgConnection;
use uuid::Uuid;

use super::outbox::Outbox;
use super::smtp::{Ready, Trouble};
use crate::config::MailServer;
use crate::database::Database;
use crate::domain::retrying::wait_after;
use crate::store::mail::{self, Taken};

/// How many are handed over at the same time.
const AT_ONCE: i64 = 4;
/// How long one may take, from the connection to the server's word.
const PATIENCE: Duration = Duration::from_secs(25);
/// Well beyond [`PATIENCE`]: nobody else takes a mail that may still arrive.
const LEASE: SignedDuration = SignedDuration::from_secs(120);
/// How long the outbox remembers that there was a mail, without what it said.
const REMEMBERED: SignedDuration = SignedDuration::from_hours(24 * 30);

/// Delivers mail. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mailer(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    outbox: Outbox,
    database: Database,
    server: Option<MailServer>,
    holder: Uuid,
    patience: Duration,
}

impl Mailer {
    /// Without a server nothing is delivered, but what is useless by now is still thrown away.
    #[must_use]
    pub fn new(outbox: &Outbox, database: Database, server: Option<MailServer>) -> Self {
        Self::with_patience(outbox, database, server, PATIENCE)
    }

    /// With another time for each mail.
    #[must_use]
    pub fn with_patience(outbox: &Outbox, database: Database, server: Option<MailServer>, patience: Duration) -> Self {
        let (outbox, holder) = (outbox.clone(), outbox.random().uuid_v4());
        Self(Arc::new(Parts { outbox, database, server, holder, patience }))
    }

    /// Takes a few mails that are due and tries to deliver them. Says how many it took; call again while it is not zero.
    ///
    /// # Errors
    /// The database did not answer. What was taken is taken again when its lease is over.
    pub async fn step(&self) -> Result<usize, sqlx::Error> {
        let taken = self.take().await?;
        let Some(server) = &self.0.server else { return Ok(0) };
        let done = taken.iter().map(|mail| self.deliver(server, mail));
        futures::future::join_all(done).await.into_iter().collect::<Result<Vec<()>, _>>()?;
        Ok(taken.len())
    }

    /// Forgets mails that were dealt with long ago.
    ///
    /// # Errors
    /// What was not forgotten is forgotten by the next call.
    pub async fn sweep(&self) -> Result<(), sqlx::Error> {
        let now = self.0.outbox.clock().now();
        let mut conn = self.0.database.pages.acquire().await?;
        mail::delete_before(&mut conn, now.checked_sub(REMEMBERED).unwrap_or(now)).await
    }

    async fn take(&self) -> Result<Vec<Taken>, sqlx::Error> {
        let parts = &*self.0;
        let take = async {
            let now = parts.outbox.clock().now();
            let mut conn = parts.database.pages.acquire().await?;
            for (id, kind) in mail::give_up_useless(&mut conn, now).await? {
                tracing::warn!(mail = %id, kind, "a mail could not be delivered while it was of use; given up");
            }
            if parts.server.is_none() {
                return Ok(Vec::new());
            }
            let until = now.checked_add(LEASE).unwrap_or(Timestamp::MAX);
            mail::take_due(&mut conn, parts.holder, (now, until), AT_ONCE).await
        };
        parts.database.pulse.or_dead(take).await
    }

    async fn deliver(&self, server: &MailServer, mail: &Taken) -> Result<(), sqlx::Error> {
        let parts = &*self.0;
        let opened = mail.sealed.as_ref().and_then(|sealed| parts.outbox.open(mail.id, sealed));
        let ready = match opened {
            Some(written) => Ready::new(server, (mail.id, mail.created_at), &mail.address, written),
            None => Err(Trouble { is_final: true, why: "it is sealed with a key that is gone".to_owned() }),
        };
        let done = match ready {
            Ok(ready) => ready.deliver(server, parts.patience).await,
            Err(trouble) => Err(trouble),
        };
        let write = async {
            let mut conn = parts.database.pages.acquire().await?;
            match done {
                Ok(()) => self.note_sent(&mut conn, mail).await,
                Err(trouble) => self.note_trouble(&mut conn, mail, &trouble).await,
            }
        };
        parts.database.pulse.or_dead(write).await
    }

    async fn note_sent(&self, conn: &mut PgConnection, mail: &Taken) -> Result<(), sqlx::Error> {
        tracing::info!(mail = %mail.id, kind = mail.kind, attempt = mail.attempt, "mail delivered");
        // Whoever took it meanwhile delivers it a second time, and notes that.
        mail::mark_sent(conn, self.held(mail), self.0.outbox.clock().now()).await.map(drop)
    }

    async fn note_trouble(&self, conn: &mut PgConnection, mail: &Taken, trouble: &Trouble) -> Result<(), sqlx::Error> {
        let now = self.0.outbox.clock().now();
        let next =
            now.checked_add(wait_after(mail.attempt, self.0.outbox.random().fraction())).unwrap_or(Timestamp::MAX);
        let (id, kind, attempt, why) = (mail.id, mail.kind.as_str(), mail.attempt, trouble.why.as_str());
        if trouble.is_final || next >= mail.useless_at {
            tracing::warn!(mail = %id, kind, attempt, why, "a mail could not be delivered; given up");
            return mail::give_up(conn, self.held(mail), now, why).await.map(drop);
        }
        tracing::warn!(mail = %id, kind, attempt, why, "a mail could not be delivered; it is tried again");
        mail::mark_waiting(conn, self.held(mail), next, why).await.map(drop)
    }

    fn held(&self, mail: &Taken) -> mail::Held {
        mail::Held { id: mail.id, holder: self.0.holder, attempt: mail.attempt }
    }
}
