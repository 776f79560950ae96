//! Proving afresh who one is, at a provider (S-22). It was asked to have the person sign in again and to say when they did;
//! a provider that does not say so has proven nothing.

use serde_json::json;
use sqlx::Connection as _;

use super::{Sso, SsoError, label, vouched};
use crate::accounts::{By, NewSession, Origin};
use crate::audit::Kind;
use crate::domain::people::{Factor, Person};
use crate::sso::{Provider, Witness};
use crate::store::{accounts, identities};

impl Sso {
    /// Has the person's session go on under another id, as proven when the provider says and with what (S-25).
    pub(super) async fn step_up(
        &self,
        provider: &Provider,
        witness: &Witness,
        (person, origin): (&Person, &Origin),
    ) -> Result<NewSession, SsoError> {
        let not_proven = || SsoError::NotProven { label: label(provider) };
        let proven_at = witness.proven_anew_at.ok_or_else(not_proven)?;
        let mut conn = self.accounts.0.database.pages.acquire().await?;
        let mut tx = conn.begin().await?;
        let account = accounts::lock_account(&mut tx, person.account).await?;
        let account = account.filter(|account| account.disabled_at.is_none()).ok_or(SsoError::SignedOut)?;
        let holder = identities::find_holder(&mut tx, &witness.issuer, &witness.subject).await?;
        let ways = identities::load_ways_in(&mut tx, person.account).await?;
        // Without a second factor there it is one weak factor, which is not enough for whoever has a better one here.
        let is_enough = witness.vouches_factor || !(ways.has_totp || ways.passkeys > 0);
        if holder != Some(person.account) || !is_enough {
            return Err(not_proven());
        }
        let factor = vouched(witness);
        let method = provider.method();
        let by = factor.map_or(method.as_str(), |factor| factor.name());
        let renewed = self.accounts.renew_session(&mut tx, (person, &account), factor, (proven_at, by)).await?;
        let new = renewed.ok_or(SsoError::SignedOut)?;
        let fields = json!({
            "person": person.account, "how": provider.method(), "factor": factor.map(Factor::name), "at": proven_at,
            "session": new.person.session_mark, "session_before": person.session_mark,
            "address": origin.address, "user_agent": origin.agent(),
        });
        self.accounts.record(&mut tx, Kind::SteppedUp, &By::person(&new.person), fields).await?;
        tx.commit().await?;
        Ok(new)
    }
}
