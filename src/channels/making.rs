//! What admins do: make a channel, say what it is told of, change it, try it, and send a message again. Each change with its
//! record in the same transaction; no record holds an address, only its host.

use std::fmt;

use secrecy::SecretString;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use super::composing::{Matter, OF_WEBHOOKS};
use super::sending::{ADDRESS, SECRET, TEST, owner};
use super::{Channels, OF_USE, message, webhook};
use crate::access::grants::Mistakes;
use crate::access::{AccessError, lock_admin};
use crate::accounts::records::append;
use crate::accounts::{By, Unavailable};
use crate::audit;
use crate::domain::access::{GateFields, GatePattern};
use crate::domain::channels::{Address, Kind, Tells};
use crate::domain::hosts::HostPattern;
use crate::domain::ids::{ChannelGatesId, ChannelId, DeliveryId};
use crate::domain::text;
use crate::sealing::Purpose;
use crate::store::channels::deliveries::{self, Delivery};
use crate::store::channels::gates::{self, Gates};
use crate::store::channels::{self, Channel, NewChannel};

/// More are a mistake: each notice is held against each of them.
const MOST_CHANNELS: usize = 100;
const MOST_GATES: usize = 50;
/// Messages that are shown of one.
const SHOWN: i64 = 50;

/// A channel as somebody typed it, without where it leads.
#[derive(Debug, Clone)]
pub struct Asked {
    pub kind: Kind,
    pub name: String,
    pub tells: Tells,
    pub gates: GateFields,
}

/// The same, checked.
#[derive(Debug, Clone)]
pub struct Checked {
    pub kind: Kind,
    pub name: String,
    pub tells: Tells,
    pub gates: GatePattern,
}

/// What the messages of a webhook are signed with. Shown once.
pub struct Secret(pub SecretString);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// A channel with all that admins see of it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub channel: Channel,
    pub gates: Vec<Gates>,
    pub deliveries: Vec<Delivery>,
}

pub(super) const NO_CHANNEL: AccessError = AccessError::Gone("There is no such channel, or it was ended already.");

impl Channels {
    /// Hosts that the operator lists.
    #[must_use]
    pub fn hosts(&self) -> &[HostPattern] {
        &self.0.hosts
    }

    /// Every channel, by name, with its gates.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn list(&self) -> Result<Vec<(Channel, Vec<Gates>)>, Unavailable> {
        let mut conn = self.0.database.pages.acquire().await?;
        let all = gates::list_live(&mut conn).await?;
        let of = |channel: &Channel| all.iter().filter(|one| one.channel == channel.id).cloned().collect();
        let found = channels::list_live(&mut conn, None).await?;
        Ok(found.into_iter().map(|channel| (channel.clone(), of(&channel))).collect())
    }

    /// # Errors
    /// [`AccessError::Gone`], or the database did not answer.
    pub async fn load(&self, id: ChannelId) -> Result<Seen, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let channel = channels::list_live(&mut conn, Some(id)).await?.pop().ok_or(NO_CHANNEL)?;
        let mut gates = gates::list_live(&mut conn).await?;
        gates.retain(|one| one.channel == id);
        let deliveries = deliveries::list_recent(&mut conn, id, self.0.clock.now(), SHOWN).await?;
        Ok(Seen { channel, gates, deliveries })
    }

    /// Checks what was typed and makes nothing yet. Every mistake is told, not only the first.
    ///
    /// # Errors
    /// [`AccessError::Unavailable`].
    pub fn check(&self, asked: &Asked) -> Result<Result<Checked, Mistakes>, AccessError> {
        let mut mistakes = Mistakes::default();
        let name = mistakes.take(parse_name(&asked.name))?;
        let tells = mistakes.take(parse_tells(asked.tells))?;
        let gates = mistakes.take(GatePattern::parse(&asked.gates).map_err(AccessError::from))?;
        let all = name.zip(tells).zip(gates);
        let checked = all.map(|((name, tells), gates)| Checked { kind: asked.kind, name, tells, gates });
        Ok(checked.ok_or(mistakes))
    }

    /// Whether a channel of this kind may lead there.
    ///
    /// # Errors
    /// [`AccessError::BadField`].
    pub fn check_address(&self, typed: &str, kind: Kind) -> Result<Address, AccessError> {
        Address::parse(typed, kind, &self.0.hosts).map_err(|problem| bad("address", problem))
    }

    /// From now on it is told. The secret is that of a webhook.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn make(
        &self,
        by: &By,
        new: &Checked,
        address: &Address,
    ) -> Result<(ChannelId, Option<Secret>), AccessError> {
        let parts = &*self.0;
        let at = parts.clock.now();
        let id = ChannelId(parts.random.uuid_v7(at));
        let secret = (new.kind == Kind::Webhook).then(|| self.secret());
        let sealed_secret = secret.as_deref().map(|secret| self.seal((id, SECRET), secret));
        let mut conn = parts.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        lock_admin(&mut tx, by).await?;
        if channels::list_live(&mut tx, None).await?.len() >= MOST_CHANNELS {
            return Err(bad("name", format!("There are {MOST_CHANNELS} channels already. End one first.")));
        }
        let row = NewChannel {
            id,
            kind: new.kind,
            name: &new.name,
            host: address.host(),
            sealed_address: &self.seal((id, ADDRESS), address.expose().as_str()),
            sealed_secret: sealed_secret.as_deref(),
            tells: new.tells,
            at,
            given_by: by.account(),
        };
        if !channels::insert(&mut tx, &row).await? {
            return Err(taken());
        }
        let given = Gates { id: ChannelGatesId(parts.random.uuid_v7(at)), channel: id, pattern: new.gates.clone() };
        gates::insert(&mut tx, &given, at).await?;
        let mut fields = told(id, new.kind, (&new.name, address.host()), new.tells);
        fields["gates"] = new.gates.to_string().into();
        fields["pattern"] = json!(new.gates.fields());
        self.record(&mut tx, audit::Kind::ChannelMade, by, fields).await?;
        tx.commit().await?;
        Ok((id, secret.map(|secret| Secret(secret.into()))))
    }

    /// It is called so and told this from now on, and, where one is typed, leads to another address.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn change(
        &self,
        by: &By,
        id: ChannelId,
        (name, tells, address): (&str, Tells, &str),
    ) -> Result<(), AccessError> {
        let (name, tells) = (parse_name(name)?, parse_tells(tells)?);
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let channel = lock_channel(&mut tx, by, id).await?;
        let mut host = channel.host;
        if !address.trim().is_empty() {
            let address = self.check_address(address, channel.kind)?;
            let sealed = self.seal((id, ADDRESS), address.expose().as_str());
            channels::move_to(&mut tx, id, (address.host(), &sealed), self.0.clock.now()).await?;
            address.host().clone_into(&mut host);
        }
        if !channels::change(&mut tx, id, &name, tells).await? {
            return Err(taken());
        }
        let mut fields = told(id, channel.kind, (&name, &host), tells);
        fields["another_address"] = (!address.trim().is_empty()).into();
        self.record(&mut tx, audit::Kind::ChannelChanged, by, fields).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Its messages are signed with another secret from now on, those that wait too.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn renew_secret(&self, by: &By, id: ChannelId) -> Result<Secret, AccessError> {
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let channel = lock_channel(&mut tx, by, id).await?;
        if channel.kind != Kind::Webhook {
            return Err(AccessError::Gone("Only messages to a webhook are signed."));
        }
        let secret = self.secret();
        channels::sign_with(&mut tx, id, &self.seal((id, SECRET), &secret)).await?;
        let mut fields = told(id, channel.kind, (&channel.name, &channel.host), channel.tells);
        fields["another_secret"] = true.into();
        self.record(&mut tx, audit::Kind::ChannelChanged, by, fields).await?;
        tx.commit().await?;
        Ok(Secret(secret.into()))
    }

    /// It is told of these gates too from now on.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn add_gates(&self, by: &By, id: ChannelId, typed: &GateFields) -> Result<(), AccessError> {
        let pattern = GatePattern::parse(typed)?;
        let parts = &*self.0;
        let mut conn = parts.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let channel = lock_channel(&mut tx, by, id).await?;
        let at = parts.clock.now();
        let mut live = gates::list_live(&mut tx).await?;
        live.retain(|one| one.channel == id);
        if live.iter().any(|one| one.pattern == pattern) {
            return Err(bad("pipeline", "It is told of these gates already."));
        }
        if live.len() >= MOST_GATES {
            return Err(bad("pipeline", format!("A channel has at most {MOST_GATES} patterns.")));
        }
        let mut fields = told(id, channel.kind, (&channel.name, &channel.host), channel.tells);
        fields["gates_added"] = pattern.to_string().into();
        fields["pattern"] = json!(pattern.fields());
        gates::insert(&mut tx, &Gates { id: ChannelGatesId(parts.random.uuid_v7(at)), channel: id, pattern }, at)
            .await?;
        self.record(&mut tx, audit::Kind::ChannelChanged, by, fields).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Sends it a message that says nothing.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn test(&self, by: &By, id: ChannelId) -> Result<DeliveryId, AccessError> {
        let parts = &*self.0;
        let now = parts.clock.now();
        let mut conn = parts.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let channel = lock_channel(&mut tx, by, id).await?;
        if channel.waiting >= OF_WEBHOOKS {
            return Err(AccessError::Gone(
                "Too many messages wait for this channel already. See what becomes of those.",
            ));
        }
        let delivery = DeliveryId(parts.random.uuid_v7(now));
        let body = match channel.kind {
            Kind::Webhook => webhook::test(delivery),
            kind => message::test(&channel.name, self.address_of("/")).body(kind),
        };
        self.put(&mut tx, (delivery, id), (TEST, &body), &Matter::default(), now).await?;
        channels::mark_well(&mut tx, id).await?;
        let mut fields = told(id, channel.kind, (&channel.name, &channel.host), channel.tells);
        fields["delivery"] = json!(delivery);
        self.record(&mut tx, audit::Kind::ChannelTested, by, fields).await?;
        tx.commit().await?;
        Ok(delivery)
    }

    /// Sends a message once more: the same, under the same id, signed anew for the time it is sent.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn send_again(&self, by: &By, id: ChannelId, delivery: DeliveryId) -> Result<(), AccessError> {
        let now = self.0.clock.now();
        let mut conn = self.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let channel = lock_channel(&mut tx, by, id).await?;
        let until = now.checked_add(OF_USE).unwrap_or(now);
        let Some(tells) = deliveries::send_again(&mut tx, (id, delivery), (now, until)).await? else {
            return Err(AccessError::Gone("There is no such message any more, or it is being sent just now."));
        };
        let mut fields = told(id, channel.kind, (&channel.name, &channel.host), channel.tells);
        fields["delivery"] = json!(delivery);
        fields["delivery_tells"] = tells.into();
        self.record(&mut tx, audit::Kind::ChannelSentAgain, by, fields).await?;
        tx.commit().await?;
        Ok(())
    }

    fn secret(&self) -> String {
        format!("whsec_{}", hex::encode(self.0.random.bytes::<32>()))
    }

    fn seal(&self, (id, what): (ChannelId, &str), secret: &str) -> Vec<u8> {
        self.0.sealer.seal(Purpose::Channel, &owner(id, what), secret.as_bytes())
    }

    pub(super) async fn record(
        &self,
        conn: &mut PgConnection,
        kind: audit::Kind,
        by: &By,
        fields: Value,
    ) -> Result<(), Unavailable> {
        append(conn, &self.0.random, (kind, by), fields).await
    }
}

/// Locks who asks, and the channel.
pub(super) async fn lock_channel(conn: &mut PgConnection, by: &By, id: ChannelId) -> Result<Channel, AccessError> {
    lock_admin(conn, by).await?;
    if !channels::lock(conn, id).await? {
        return Err(NO_CHANNEL);
    }
    channels::list_live(conn, Some(id)).await?.pop().ok_or(NO_CHANNEL)
}

fn bad(field: &'static str, problem: impl Into<String>) -> AccessError {
    AccessError::BadField { field, problem: problem.into() }
}

fn taken() -> AccessError {
    bad("name", "Another channel has this name.")
}

fn parse_name(typed: &str) -> Result<String, AccessError> {
    let name = typed.trim();
    match name.chars().count() {
        0 => Err(bad("name", "Give it a name, such as the chat's.")),
        101.. => Err(bad("name", "A name has at most 100 characters.")),
        _ if name.chars().any(char::is_control) || text::has_deceptive(name) => {
            Err(bad("name", "A name cannot hold characters that cannot be seen."))
        }
        _ => Ok(name.to_owned()),
    }
}

fn parse_tells(tells: Tells) -> Result<Tells, AccessError> {
    if tells.is_nothing() { Err(bad("waiting", "Choose something that it is told.")) } else { Ok(tells) }
}

pub(super) fn told(id: ChannelId, kind: Kind, (name, host): (&str, &str), tells: Tells) -> Value {
    json!({ "channel": id, "channel_kind": kind.name(), "name": name, "host": host, "tells": tells })
}
