//! `countersign account`: people, from the operator's terminal. What is done here is recorded as the operator's. Results go
//! to standard output, remarks to standard error, so that a made-up password can be piped on alone.

use std::io::Read as _;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use comfy_table::Table;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::opening::{ConfigFile, database_settings, finish};
use super::{complain, say};
use crate::accounts::admin::{AccountView, NewAccount};
use crate::accounts::{Accounts, By, Settings};
use crate::clock::Clock;
use crate::database::migrate::load_state;
use crate::database::{Database, Role as DatabaseRole, open};
use crate::domain::ids::AccountId;
use crate::domain::people::Role;
use crate::random::Random;

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
    List(List),
    /// Disable an account: its person is signed out everywhere at once
    #[command(after_help = "Example:\n  countersign account disable --email anna@example.org")]
    Disable(Whose),
    /// Enable a disabled account again, with the password it had
    #[command(after_help = "Example:\n  countersign account enable --email anna@example.org")]
    Enable(Whose),
    ResetPassword(ResetPassword),
}

/// Add an account
///
/// Without --password-stdin a password is made up and printed once, alone, on standard output; it serves for 24 hours
/// and must be changed at the first sign-in.
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
        finish(self.execute())
    }

    async fn execute(self) -> anyhow::Result<ExitCode> {
        let (config, environment) = self.config.load()?;
        let settings = database_settings(&config, &environment);
        let opened = open(&settings, DatabaseRole::App, |step| complain(step)).await?;
        let problem = load_state(&mut opened.connect().await?).await?.problem();
        let database = Database::open(&opened.options);
        let accounts = Accounts::new(database.clone(), Clock::system(), Random::system(), Settings::of(&config));
        let done = match problem {
            Some(problem) => Err(anyhow::Error::msg(problem)),
            None => self.command.execute(&accounts).await,
        };
        database.close().await;
        opened.close().await?;
        done.map(|()| ExitCode::SUCCESS)
    }
}

impl AccountCommand {
    async fn execute(self, accounts: &Accounts) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => create.execute(accounts).await,
            Self::List(list) => list.execute(accounts).await,
            Self::Disable(whose) => whose.disable(accounts).await,
            Self::Enable(whose) => whose.enable(accounts).await,
            Self::ResetPassword(reset) => reset.execute(accounts).await,
        }
    }
}

impl Create {
    async fn execute(self, accounts: &Accounts) -> anyhow::Result<()> {
        let roles = self.roles.iter().copied().collect();
        let email = self.whose.email.trim().to_owned();
        let new = NewAccount { email: self.whose.email, name: self.name, roles, password: self.password.read()? };
        let (_, made_up) = accounts.create(&By::Operator, new).await?;
        complain(format_args!("Created {email} ({}).", roles.names().join(", ")));
        tell(made_up.as_ref(), "at the first sign-in, within 24 hours");
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

/// Shows a made-up password this once.
fn tell(made_up: Option<&SecretString>, when: &str) {
    if let Some(password) = made_up {
        complain(format_args!("This is the password. It is shown only now, and must be changed {when}:"));
        say(password.expose_secret());
    }
}

impl Whose {
    async fn find(&self, accounts: &Accounts) -> anyhow::Result<AccountId> {
        let found = accounts.find_by_email(&self.email).await?;
        found.with_context(|| {
            format!("There is no account {}. `countersign account list` shows all.", self.email.trim())
        })
    }

    async fn disable(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let done = accounts.disable(&By::Operator, self.find(accounts).await?).await?;
        complain(match done {
            true => format!("Disabled {}; signed out everywhere.", self.email.trim()),
            false => format!("{} was disabled already.", self.email.trim()),
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
