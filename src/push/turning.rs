//! Turning it on and off in a browser, by its person; and what the browser's own renewals do.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::encrypting::{Once, encrypt};
use super::{Message, Push, Topic, Urgency};
use crate::accounts::records::append;
use crate::accounts::{By, Unavailable};
use crate::audit::Kind;
use crate::domain::browser;
use crate::domain::ids::{AccountId, PushBrowserId};
use crate::domain::people::Person;
use crate::domain::push::{BadSubscription, Subscription};
use crate::sealing::Purpose;
use crate::store::access::rights;
use crate::store::push::browsers::{self, Browser, Ended, Moved, NewBrowser};
use crate::store::sessions;

/// More browsers of one person are a mistake.
const MOST: usize = 20;
/// A browser is given another address as often as this at most.
const RENEWED_EACH: SignedDuration = SignedDuration::from_mins(1);
/// How long a test is of use.
const TEST: SignedDuration = SignedDuration::from_mins(10);

/// What a browser says of itself: where it is reached, and its keys.
#[derive(Clone, Copy)]
pub struct Said<'a> {
    pub address: &'a str,
    pub key: &'a str,
    pub secret: &'a str,
}

/// Why nothing was turned on or off.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    #[error("This portal tells browsers nothing.")]
    Off,
    #[error("Choose a password of your own first.")]
    PasswordFirst,
    #[error("You are no longer signed in.")]
    SignedOut,
    #[error("You have turned it on in {MOST} browsers. Turn it off in one of them first.")]
    TooMany,
    #[error("This cannot be turned on here: {0}.")]
    Bad(#[from] BadSubscription),
    #[error("There is no such browser of yours.")]
    Unknown,
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl From<sqlx::Error> for TurnError {
    fn from(error: sqlx::Error) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Whose a browser is to be.
struct Whose {
    account: AccountId,
    session: Uuid,
    name: String,
}

impl Push {
    /// The browsers in which this person turned it on.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list(&self, person: &Person) -> Result<Vec<Browser>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        Ok(browsers::list(&mut conn, person.account).await?)
    }

    /// Turns it on in the browser that asks. One that was somebody else's is theirs from now on.
    ///
    /// # Errors
    /// [`TurnError`].
    pub async fn turn_on(&self, person: &Person, said: Said<'_>, user_agent: &str) -> Result<(), TurnError> {
        let subscription = self.read(said)?;
        let mut conn = self.0.database.pages.acquire().await?;
        let key = self.key(&mut conn).await?.public;
        let mut tx = conn.begin().await?;
        hold(&mut tx, person).await?;
        let before = browsers::end_at(&mut tx, &subscription.address_hash()).await?;
        if browsers::list_ids(&mut tx, person.account).await?.len() >= MOST {
            return Err(TurnError::TooMany);
        }
        let whose = Whose { account: person.account, session: person.session.0, name: browser::name_of(user_agent) };
        let id = self.keep(&mut tx, &subscription, (&whose, &key)).await?;
        let from = before.map(|before| before.account).filter(|account| *account != person.account);
        let fields = json!({
            "person": person.account, "push_browser": id, "browser": whose.name, "host": subscription.host(),
            "taken_from": from,
        });
        let by = By::Person(Box::new(person.clone()));
        append(&mut tx, &self.0.random, (Kind::PushStarted, &by), fields).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Turns it off in one of the person's browsers.
    ///
    /// # Errors
    /// [`TurnError`].
    pub async fn turn_off(&self, person: &Person, id: PushBrowserId) -> Result<(), TurnError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        hold(&mut tx, person).await?;
        let ended = browsers::end(&mut tx, id, Some(person.account)).await?.ok_or(TurnError::Unknown)?;
        let by = By::Person(Box::new(person.clone()));
        self.record_ended(&mut tx, &by, (&ended, "turned off by its person")).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sends one of the person's browsers a message that says nothing else.
    ///
    /// # Errors
    /// [`TurnError`].
    pub async fn test(&self, person: &Person, id: PushBrowserId) -> Result<(), TurnError> {
        if !self.is_on() {
            return Err(TurnError::Off);
        }
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        hold(&mut tx, person).await?;
        if !browsers::list_ids(&mut tx, person.account).await?.contains(&id) {
            return Err(TurnError::Unknown);
        }
        let message = Message {
            tells: "test",
            topic: Topic::Test,
            asks: false,
            heading: "Countersign".to_owned(),
            text: "This browser is told what waits for you.".to_owned(),
            urgency: Urgency::High,
            is_silent: false,
            due_at: now,
            useless_at: now.checked_add(TEST).unwrap_or(Timestamp::MAX),
        };
        self.put_one(&mut tx, id, &message).await?;
        browsers::let_go(&mut tx, id).await?;
        tx.commit().await?;
        Ok(())
    }

    /// A browser was given another address by its push service. It proves itself by what only it and we know of the old one, which
    /// the service does not. False: it did not, or it was turned on or renewed just now, and nothing was done.
    ///
    /// # Errors
    /// [`TurnError`].
    pub async fn renew(&self, old: Said<'_>, new: Said<'_>) -> Result<bool, TurnError> {
        let (old, new) = (self.read(old)?, self.read(new)?);
        let mut conn = self.0.database.pages.acquire().await?;
        let key = self.key(&mut conn).await?.public;
        let mut tx = conn.begin().await?;
        let Some(found) = browsers::lock_at(&mut tx, &old.address_hash()).await? else { return Ok(false) };
        let known = self.open_browser(found.id, &found.sealed);
        let Some(known) = known.filter(|known| bool::from(known.secret().ct_eq(old.secret()))) else {
            return Ok(false);
        };
        let now = self.0.clock.now();
        if known == new {
            return Ok(true);
        }
        // Each renewal is a record: whoever has a browser must not fill it. A clock that was wrong holds up nobody.
        if found.since <= now && now.duration_since(found.since) < RENEWED_EACH {
            return Ok(false);
        }
        let mut taken_from = None;
        if new.address_hash() != old.address_hash() {
            // Whosever it was, it is that of who holds it.
            let before = browsers::end_at(&mut tx, &new.address_hash()).await?;
            taken_from = before.map(|before| before.account).filter(|account| *account != found.account);
        }
        let moved = Moved {
            address_hash: new.address_hash(),
            sealed: &self.seal(found.id, &new)?,
            host: new.host(),
            public_key: &key,
            at: now,
        };
        browsers::move_to(&mut tx, found.id, &moved).await?;
        let fields = json!({
            "person": found.account, "push_browser": found.id, "browser": found.name, "host": new.host(),
            "why": "given another address by its push service", "before": { "host": found.host },
            "taken_from": taken_from,
        });
        append(&mut tx, &self.0.random, (Kind::PushStarted, &By::System), fields).await?;
        tx.commit().await?;
        Ok(true)
    }

    fn read(&self, said: Said<'_>) -> Result<Subscription, TurnError> {
        if !self.is_on() {
            return Err(TurnError::Off);
        }
        let parts = &*self.0;
        let subscription = Subscription::parse((said.address, said.key, said.secret), &parts.config.services)?;
        // Looked at now, while somebody is there to be told.
        encrypt(b"", (subscription.key(), subscription.secret()), &Once::new(&parts.random))
            .map_err(|_| BadSubscription::Keys)?;
        Ok(subscription)
    }

    async fn keep(
        &self,
        conn: &mut PgConnection,
        subscription: &Subscription,
        (whose, key): (&Whose, &[u8]),
    ) -> sqlx::Result<PushBrowserId> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let id = PushBrowserId(parts.random.uuid_v7(now));
        let new = NewBrowser {
            id,
            account: whose.account,
            session: whose.session,
            address_hash: subscription.address_hash(),
            sealed: &self.seal(id, subscription)?,
            host: subscription.host(),
            public_key: key,
            name: &whose.name,
            since: now,
        };
        browsers::insert(conn, &new).await?;
        Ok(id)
    }

    fn seal(&self, id: PushBrowserId, subscription: &Subscription) -> sqlx::Result<Vec<u8>> {
        let text = serde_json::to_vec(subscription).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        Ok(self.0.sealer.seal(Purpose::Push, &owner(id), &text))
    }

    /// Where a browser is reached. None: it is sealed with a key that is gone.
    pub(super) fn open_browser(&self, id: PushBrowserId, sealed: &[u8]) -> Option<Subscription> {
        let opened = self.0.sealer.open_sealed(Purpose::Push, &owner(id), sealed).ok()?;
        serde_json::from_slice(&opened).ok()
    }

    /// The last thing before the caller commits.
    pub(super) async fn record_ended(
        &self,
        conn: &mut PgConnection,
        by: &By,
        (ended, why): (&Ended, &str),
    ) -> Result<(), Unavailable> {
        let fields = json!({
            "person": ended.account, "push_browser": ended.id, "browser": ended.name, "host": ended.host, "why": why,
        });
        append(conn, &self.0.random, (Kind::PushEnded, by), fields).await
    }
}

/// What a browser is sealed for.
fn owner(id: PushBrowserId) -> String {
    format!("push browser {id}")
}

/// Locks who asks against change until the transaction ends.
async fn hold(conn: &mut PgConnection, person: &Person) -> Result<(), TurnError> {
    let Some(account) = rights::lock_accounts(conn, &[person.account]).await?.pop() else {
        return Err(TurnError::SignedOut);
    };
    if account.disabled || !sessions::hold_session(conn, person.account, person.session).await? {
        return Err(TurnError::SignedOut);
    }
    if account.must_change_password { Err(TurnError::PasswordFirst) } else { Ok(()) }
}
