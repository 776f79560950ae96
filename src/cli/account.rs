//! `countersign account`: people, from the operator's terminal. What is done here is recorded as the operator's. Results go
//! to standard output, remarks to standard error, so that a made-up password can be piped on alone.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use comfy_table::Table;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::opening::{ConfigFile, finish, load_account, open_accounts, with_database};
use super::{complain, say};
use crate::access::Access;
use crate::accounts::admin::{AccountView, AdminError, NewAccount};
use crate::accounts::invitations::NewPerson;
use crate::accounts::{Accounts, By};
use crate::clock::Clock;
use crate::config::Config;
use crate::database::Database;
use crate::domain::ids::AccountId;
use crate::domain::people::{Role, Roles};
use crate::random::Random;
use crate::store::access::grants::To;

/// Adds people, takes them away, and gives them new passwords.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign account create --email anna@example.org --name 'Anna Schmidt' --role approver"
)]
pub(super) struct Account {
    #[command(subcommand)]
    command: AccountCommand,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Subcommand)]
enum AccountCommand {
    Create(Create),
    Invite(Invite),
    List(List),
    /// Disable an account: its person is signed out everywhere at once
    #[command(after_help = "Example:\n  countersign account disable --email anna@example.org")]
    Disable(Whose),
    /// Enable a disabled account again, with the password it had
    #[command(after_help = "Example:\n  countersign account enable --email anna@example.org")]
    Enable(Whose),
    ResetPassword(ResetPassword),
    /// Mark an account's password as known to others: its person is signed out everywhere and must choose another
    #[command(after_help = "Example:\n  countersign account mark-compromised --email anna@example.org")]
    MarkCompromised(Whose),
    /// Take all second factors of an account away, for a person who has lost them, and sign them out everywhere
    #[command(after_help = "Example:\n  countersign account reset-factors --email anna@example.org")]
    ResetFactors(Whose),
    BreakGlass(BreakGlass),
}

/// Add an account
///
/// Without --password-stdin a password is made up and printed once, alone, on standard output; it serves for 24 hours
/// and must be changed at the first sign-in. The first approver, made while no grant was ever given, may decide every gate;
/// others need a grant.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign account create --email anna@example.org --name 'Anna Schmidt' --role approver
  countersign account create --email ops@example.org --name Ops --role admin --password-stdin < password.txt")]
struct Create {
    #[command(flatten)]
    whose: Whose,
    /// The person's name, as approvals will show it
    #[arg(long)]
    name: String,
    /// What the person may do; may be given several times
    #[arg(long = "role", value_name = "ROLE", required = true, value_enum)]
    roles: Vec<Role>,
    #[command(flatten)]
    password: Password,
}

/// Invite somebody: an account whose person chooses how to sign in
///
/// Prints a link once, alone, on standard output; it serves for 24 hours. Where mail is configured, it is sent to the
/// person as well. For somebody who was invited and has not accepted, it makes a new link, and the old one is dead.
#[derive(Debug, Args)]
#[command(after_help = "Example:
  countersign account invite --email anna@example.org --name 'Anna Schmidt' --role approver")]
struct Invite {
    #[command(flatten)]
    whose: Whose,
    /// The person's name, as far as it is known; they may change it when they accept
    #[arg(long)]
    name: String,
    /// What the person may do; may be given several times
    #[arg(long = "role", value_name = "ROLE", required = true, value_enum)]
    roles: Vec<Role>,
}

/// List all accounts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign account list --json")]
struct List {
    /// Print JSON: an array of accounts
    #[arg(long)]
    json: bool,
}

/// Give an account a new password, and sign its person out everywhere
///
/// Also opens a password again that 100 failures in a row have switched off. Without --password-stdin a password is made
/// up and printed once, alone, on standard output; it serves for an hour and must be changed at the next sign-in.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign account reset-password --email anna@example.org")]
struct ResetPassword {
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    password: Password,
}

/// Mark an account as one for emergencies
///
/// Where `sign_in.local` is false, these accounts alone may still sign in with their password: keep one whose password
/// lies in a safe. The account made at /setup is one from the start.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  countersign account break-glass --email emergency@example.org
  countersign account break-glass --email anna@example.org --off")]
struct BreakGlass {
    #[command(flatten)]
    whose: Whose,
    /// It is one no longer
    #[arg(long)]
    off: bool,
}

#[derive(Debug, Args)]
struct Whose {
    /// The account's e-mail address
    #[arg(long)]
    email: String,
}

#[derive(Debug, Args)]
struct Password {
    /// Read the password from standard input: all of it, but for one line end
    #[arg(long)]
    password_stdin: bool,
}

impl Account {
    pub(super) fn run(self) -> ExitCode {
        finish(with_database(&self.config, async |config, database| self.command.execute(config, database).await))
    }
}

impl AccountCommand {
    async fn execute(self, config: &Config, database: &Database) -> anyhow::Result<()> {
        let accounts = &open_accounts(config, database).await?;
        let access = Access::new(database.clone(), Clock::system(), Random::system());
        match self {
            Self::Create(create) => create.execute(accounts, &access).await,
            Self::Invite(invite) => invite.execute(accounts).await,
            Self::List(list) => list.execute(accounts).await,
            Self::Disable(whose) => whose.disable(accounts).await,
            Self::Enable(whose) => whose.enable(accounts).await,
            Self::ResetPassword(reset) => reset.execute(accounts).await,
            Self::MarkCompromised(whose) => whose.mark_compromised(accounts).await,
            Self::ResetFactors(whose) => whose.reset_factors(accounts).await,
            Self::BreakGlass(mark) => mark.execute(accounts).await,
        }
    }
}

impl Create {
    async fn execute(self, accounts: &Accounts, access: &Access) -> anyhow::Result<()> {
        let roles: Roles = self.roles.iter().copied().collect();
        let email = self.whose.email.trim().to_owned();
        let new = NewAccount { email: self.whose.email, name: self.name, roles, password: self.password.read()? };
        let (id, made_up) = accounts.create(&By::Operator, new).await?;
        complain(format_args!("Created {email} ({}).", roles.names().join(", ")));
        if roles.has(Role::Approver) {
            let has_grant = access.list_grants().await?.iter().any(|grant| grant.to == To::Person(id));
            complain(match has_grant {
                true => "The first approver may decide every gate.".to_owned(),
                false => format!("No grant lets them decide anything yet: countersign grant add --email {email} …"),
            });
        }
        tell(made_up.as_ref(), "at the first sign-in, within 24 hours");
        Ok(())
    }
}

impl Invite {
    async fn execute(self, accounts: &Accounts) -> anyhow::Result<()> {
        let roles = self.roles.iter().copied().collect();
        let email = self.whose.email.trim().to_owned();
        let new = NewPerson { email: self.whose.email, name: self.name, roles };
        let invited = match accounts.invite(&By::Operator, new).await {
            Err(AdminError::EmailTaken) => {
                let id = accounts.find_invited(&email).await?.ok_or(AdminError::EmailTaken)?;
                let again = accounts.invite_again(&By::Operator, id).await?;
                complain(format_args!(
                    "{email} was invited before, and is so again; name and roles stay as they were."
                ));
                again
            }
            invited => {
                let invited = invited?;
                complain(format_args!("Invited {email} ({}).", roles.names().join(", ")));
                invited
            }
        };
        complain(if invited.mailed {
            "A mail with this link is on its way. It serves once, for 24 hours:"
        } else {
            "No mail is configured: hand this link over. It serves once, for 24 hours:"
        });
        say(invited.link.expose_secret());
        Ok(())
    }
}

impl ResetPassword {
    async fn execute(self, accounts: &Accounts) -> anyhow::Result<()> {
        let id = self.whose.find(accounts).await?;
        let made_up = accounts.reset_password(&By::Operator, id, self.password.read()?).await?;
        complain(format_args!("{} has a new password and is signed out everywhere.", self.whose.email.trim()));
        tell(made_up.as_ref(), "at the next sign-in, within an hour");
        Ok(())
    }
}

impl BreakGlass {
    async fn execute(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let id = self.whose.find(accounts).await?;
        let done = accounts.set_break_glass(&By::Operator, id, !self.off).await?;
        let email = self.whose.email.trim();
        complain(match (done, self.off) {
            (true, false) => format!("{email} may sign in with its password also where local sign-in is off."),
            (true, true) => format!("{email} is no account for emergencies any more."),
            (false, false) => format!("{email} was one already."),
            (false, true) => format!("{email} was none."),
        });
        Ok(())
    }
}

/// Shows a made-up password this once.
fn tell(made_up: Option<&SecretString>, when: &str) {
    if let Some(password) = made_up {
        complain(format_args!("This is the password. It is shown only now, and must be changed {when}:"));
        say(password.expose_secret());
    }
}

impl Whose {
    async fn find(&self, accounts: &Accounts) -> anyhow::Result<AccountId> {
        load_account(accounts, &self.email).await
    }

    async fn disable(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let done = accounts.disable(&By::Operator, self.find(accounts).await?).await?;
        complain(match done {
            true => format!("Disabled {}; signed out everywhere.", self.email.trim()),
            false => format!("{} was disabled already.", self.email.trim()),
        });
        Ok(())
    }

    async fn mark_compromised(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let done = accounts.mark_compromised(&By::Operator, self.find(accounts).await?).await?;
        let email = self.email.trim();
        complain(match done {
            true => format!("{email} is signed out everywhere, and must choose another password at the next sign-in."),
            false => format!("{email} must choose another password already."),
        });
        Ok(())
    }

    async fn reset_factors(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let done = accounts.reset_factors(&By::Operator, self.find(accounts).await?).await?;
        let email = self.email.trim();
        complain(match done {
            true => format!(
                "{email} has no second factor any more and is signed out everywhere. Admins add a new one first."
            ),
            false => format!("{email} had no second factor."),
        });
        Ok(())
    }

    async fn enable(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let done = accounts.enable(&By::Operator, self.find(accounts).await?).await?;
        complain(match done {
            true => format!("Enabled {}.", self.email.trim()),
            false => format!("{} was not disabled.", self.email.trim()),
        });
        Ok(())
    }
}

impl Password {
    /// The password from standard input, without the line end that `echo` and editors add.
    fn read(&self) -> anyhow::Result<Option<SecretString>> {
        if !self.password_stdin {
            return Ok(None);
        }
        let mut typed = zeroize::Zeroizing::new(String::with_capacity(8192));
        std::io::stdin().take(8192).read_to_string(&mut typed).context("The password could not be read")?;
        let line = typed.strip_suffix('\n').unwrap_or(&typed);
        let password = line.strip_suffix('\r').unwrap_or(line);
        if password.is_empty() {
            bail!("There is no password on standard input. Pipe it in: countersign account … --password-stdin < FILE");
        }
        Ok(Some(SecretString::from(password)))
    }
}

impl List {
    async fn execute(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let all = accounts.list().await?;
        if self.json {
            let all: Vec<Value> = all.iter().map(in_json).collect();
            say(serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        if all.is_empty() {
            complain("There is no account yet. `countersign account create --help` shows how to make one.");
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_header(["e-mail", "name", "roles", "state", "last seen"]);
        for account in &all {
            let seen = account.last_seen_at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}"));
            table.add_row([
                account.email.clone(),
                account.name.clone(),
                account.roles.names().join(", "),
                state(account).to_owned(),
                seen,
            ]);
        }
        say(table);
        Ok(())
    }
}

fn state(account: &AccountView) -> &'static str {
    if account.disabled_at.is_some() {
        "disabled"
    } else if account.password_off {
        "password off"
    } else if account.must_change_password {
        "new password due"
    } else {
        "enabled"
    }
}

fn in_json(account: &AccountView) -> Value {
    json!({
        "id": account.id, "email": account.email, "name": account.name, "roles": account.roles.names(),
        "state": state(account), "created_at": account.created_at, "last_seen_at": account.last_seen_at,
        "disabled_at": account.disabled_at,
    })
}
