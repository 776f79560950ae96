//! What people are told by mail about their accounts. Each letter is put into the outbox within the transaction of what it
//! tells of. That somebody else did it is the reason for telling: none of it can be switched off (S-06; ASVS 6.3.7).

use sqlx::PgConnection;

use super::links::Purpose;
use super::{Accounts, By, Origin};
use crate::domain::browser;
use crate::domain::ids::AccountId;
use crate::mail::{Letter, Outbox};
use crate::store::accounts::Account;
use crate::store::tokens::Token;

const NOT_YOU: &str = "If that was not you, tell an admin of the portal at once, and choose a new password.";

impl Accounts {
    /// Where letters are put, for others who have something to tell.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(super) async fn mail_invitation(
        &self,
        conn: &mut PgConnection,
        by: &By,
        account: &Account,
        link: &str,
    ) -> Result<bool, sqlx::Error> {
        let (who, roles) = (by.name().unwrap_or("The operator"), account.roles.names());
        let letter = Letter::new("invitation", &format!("{who} invites you to Countersign"))
            .saying(&format!(
                "{who} has made an account for you in Countersign, where releases are approved or rejected."
            ))
            .fact("Portal", &self.0.outbox.address_of("/"))
            .fact("Your e-mail", &account.email)
            .fact("Your roles", &if roles.is_empty() { "none yet".to_owned() } else { roles.join(", ") })
            .link("Accept the invitation", link.to_owned())
            .saying("The link works once, for 24 hours. Opening it does nothing yet: you choose how to sign in first.")
            .saying("If you do not know what this is about, do nothing: without you the account cannot be used.")
            .useful_for(Purpose::Invite.serves());
        self.put(conn, account, &letter).await
    }

    pub(super) async fn mail_reset(
        &self,
        conn: &mut PgConnection,
        by: &By,
        account: &Account,
        link: &str,
    ) -> Result<bool, sqlx::Error> {
        let why = match by {
            By::Stranger => {
                "Somebody, probably you, said at the portal that they forgot the password of your account.".to_owned()
            }
            _ => format!("{} has started a new password for your account.", by.name().unwrap_or("The operator")),
        };
        let letter = Letter::new("reset", "Choose a new password for Countersign")
            .saying(&why)
            .fact("Portal", &self.0.outbox.address_of("/"))
            .fact("Your e-mail", &account.email)
            .link("Choose a new password", link.to_owned())
            .saying("The link works once, for an hour. Until you use it, your password stays as it is.")
            .saying("If you did not ask for this, do nothing.")
            .useful_for(Purpose::Reset.serves());
        self.put(conn, account, &letter).await
    }

    /// Tells somebody that they have changed their password.
    pub(super) async fn mail_password_changed(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        origin: &Origin,
    ) -> Result<bool, sqlx::Error> {
        let letter = Letter::new("password-changed", "Your Countersign password was changed")
            .saying("The password of your account was changed. Every other session of yours was ended.");
        self.put(conn, account, &self.with_where(letter, Some(origin)).saying(NOT_YOU)).await
    }

    /// Tells somebody that they have a new password: by a link, or by the operator.
    pub(super) async fn mail_password_reset(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        origin: Option<&Origin>,
    ) -> Result<bool, sqlx::Error> {
        let how = match origin {
            Some(_) => "A new password was chosen for your account, by a link that was sent to you.",
            None => "The operator has given your account a new password.",
        };
        let letter = Letter::new("password-reset", "Your Countersign password was reset")
            .saying(how)
            .saying("You are signed out everywhere.");
        self.put(conn, account, &self.with_where(letter, origin).saying(NOT_YOU)).await
    }

    /// Tells somebody that others may know their password.
    pub(super) async fn mail_password_compromised(
        &self,
        conn: &mut PgConnection,
        by: &By,
        account: &Account,
    ) -> Result<bool, sqlx::Error> {
        let who = by.name().unwrap_or("The operator");
        let letter = Letter::new("password-compromised", "Your Countersign password must be changed")
            .saying(&format!("{who} says that others may know your password. You are signed out everywhere."))
            .saying("Sign in with it once more: before anything else you choose another one.")
            .moment("When", self.0.clock.now())
            .fact("Portal", &self.0.outbox.address_of("/"))
            .saying("If you used that password anywhere else, change it there too.");
        self.put(conn, account, &letter).await
    }

    /// Tells somebody what became of their second factors: a whole sentence.
    pub(super) async fn mail_factors(
        &self,
        conn: &mut PgConnection,
        to: (AccountId, &str),
        what: &str,
    ) -> Result<bool, sqlx::Error> {
        let letter = Letter::new("factors-changed", "The second factors of your Countersign account");
        self.0.outbox.put(conn, to, &self.with_news(letter, what, "/me/factors").saying(NOT_YOU)).await
    }

    /// Tells somebody of another way to sign in as them, or that one is gone: a whole sentence.
    pub(super) async fn mail_sign_in_ways(
        &self,
        conn: &mut PgConnection,
        to: (AccountId, &str),
        what: &str,
    ) -> Result<bool, sqlx::Error> {
        let letter = Letter::new("identity-changed", "How you sign in to Countersign has changed");
        self.0.outbox.put(conn, to, &self.with_news(letter, what, "/me/identities").saying(NOT_YOU)).await
    }

    /// Tells somebody that a program can act as them: whether they let it themselves, or the operator did.
    pub(super) async fn mail_token_made(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        token: &Token,
        by: &By,
    ) -> Result<bool, sqlx::Error> {
        let letter = Letter::new("token-made", "An API token was made for your Countersign account");
        let what = "Whoever has this token acts as you, until its time is over or it is revoked.";
        let letter = self
            .with_news(letter, what, "/me/tokens")
            .fact("Token", &token.label)
            .fact("Scope", token.scope.name())
            .moment("Until", token.expires_at)
            .fact("Made by", if matches!(by, By::Person(_)) { "you" } else { "the operator" })
            .saying("If you did not expect this, revoke it there, and tell an admin of the portal at once.")
            .saying("A new password leaves it be.");
        self.put(conn, account, &letter).await
    }

    /// Tells somebody that a stand-in of theirs ended with the other one's account: a whole sentence.
    pub(super) async fn mail_stand_in_ended(
        &self,
        conn: &mut PgConnection,
        to: (AccountId, &str),
        what: &str,
    ) -> Result<bool, sqlx::Error> {
        let letter = Letter::new("stand-in", "A stand-in in Countersign has ended");
        self.0.outbox.put(conn, to, &self.with_news(letter, what, "/me/stand-ins")).await
    }

    /// Tells somebody at both addresses that theirs was changed. `account` has the new one already.
    pub async fn mail_email_changed(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        before: &str,
    ) -> Result<bool, sqlx::Error> {
        let letter = Letter::new("email-changed", "The e-mail address of your Countersign account was changed")
            .saying("From now on you sign in with the new address, and mail goes there.")
            .fact("Before", before)
            .fact("Now", &account.email)
            .moment("When", self.0.clock.now())
            .saying("If you did not expect this, tell an admin of the portal at once.");
        self.0.outbox.put(conn, (account.id, before), &letter).await?;
        self.put(conn, account, &letter).await
    }

    /// Tells somebody that they signed in where they never did before.
    pub(super) async fn mail_new_browser(
        &self,
        conn: &mut PgConnection,
        account: &Account,
        origin: &Origin,
    ) -> Result<bool, sqlx::Error> {
        let letter = Letter::new("new-browser", "Signed in to Countersign from a new browser")
            .saying("Somebody signed in to your account from a browser that was not used for it before.");
        self.put(conn, account, &self.with_where(letter, Some(origin)).saying(NOT_YOU)).await
    }

    async fn put(&self, conn: &mut PgConnection, account: &Account, letter: &Letter) -> Result<bool, sqlx::Error> {
        self.0.outbox.put(conn, (account.id, &account.email), letter).await
    }

    /// What happened, when, and the page on which its person sees what there is now.
    fn with_news(&self, letter: Letter, what: &str, page: &str) -> Letter {
        let letter = letter.saying(what).moment("When", self.0.clock.now());
        letter.fact("Portal", &self.0.outbox.address_of(page))
    }

    /// When, from which address, and with what; a browser's own words are not repeated, because anybody can choose them.
    fn with_where(&self, letter: Letter, origin: Option<&Origin>) -> Letter {
        let letter = letter.moment("When", self.0.clock.now());
        let Some(origin) = origin else { return letter };
        letter.fact("From", &origin.address.to_string()).fact("With", &browser::name_of(&origin.user_agent))
    }
}
