//! Telling people that their factors changed, in the transaction of the change. One place, so that whatever carries news
//! (mail where it is configured, and the log) is told here and nowhere else.

use sqlx::PgConnection;

use crate::accounts::notices::tell_admins;
use crate::accounts::{Accounts, Unavailable};
use crate::domain::ids::AccountId;
use crate::store::accounts;

/// What somebody must hear of, because it may not have been them.
#[derive(Debug, Clone, Copy)]
pub(super) enum News<'a> {
    TotpAdded,
    TotpReplaced,
    TotpRemoved,
    PasskeyAdded {
        name: &'a str,
    },
    PasskeyRemoved {
        name: &'a str,
    },
    /// Its counter went back: there may be a copy.
    PasskeySuspect {
        name: &'a str,
    },
    CodesMade,
    /// So many are left.
    CodeUsed {
        left: i64,
    },
    AllRemoved,
}

impl News<'_> {
    /// What happened, in a sentence to its person.
    fn sentence(self) -> String {
        match self {
            Self::TotpAdded => "An authenticator app was added to your account.".to_owned(),
            Self::TotpReplaced => "The authenticator app of your account was replaced by another.".to_owned(),
            Self::TotpRemoved => "The authenticator app of your account was removed.".to_owned(),
            Self::PasskeyAdded { name } => format!("The passkey “{name}” was added to your account."),
            Self::PasskeyRemoved { name } => format!("The passkey “{name}” of your account was removed."),
            Self::PasskeySuspect { name } => format!(
                "Your passkey “{name}” was refused, because it may have been copied. It is not accepted any more: remove it \
                 and add a new one."
            ),
            Self::CodesMade => "New recovery codes were made for your account. Earlier ones work no longer.".to_owned(),
            Self::CodeUsed { left } => format!("A recovery code of your account was used. {left} are left."),
            Self::AllRemoved => "All second factors of your account were removed.".to_owned(),
        }
    }
}

impl Accounts {
    /// Tells a person; of what may be a theft, every admin too. Call before the record.
    pub(super) async fn inform(
        &self,
        conn: &mut PgConnection,
        account: AccountId,
        news: News<'_>,
    ) -> Result<(), Unavailable> {
        let sentence = news.sentence();
        tracing::info!(%account, news = sentence, "second factors");
        let Some(address) = accounts::find_address(conn, account).await? else { return Ok(()) };
        self.mail_factors(conn, (account, &address), &sentence).await?;
        if let News::PasskeySuspect { name } = news {
            let at = self.0.clock.now();
            let text = format!(
                "A passkey of {address}, “{name}”, was refused because it may have been copied (its counter went back). \
                 Ask its person, and look at where they are signed in."
            );
            tell_admins(conn, (&self.0.random, Some(&self.0.outbox)), account, (at, &text)).await?;
        }
        Ok(())
    }
}
