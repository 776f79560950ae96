//! `countersign token`: API tokens, from the operator's terminal. What is done here is recorded as the operator's. A new
//! token goes to standard output alone, remarks to standard error, so that it can be piped on.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, Subcommand};
use comfy_table::Table;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::opening::{ConfigFile, finish, load_account, open_accounts, with_database};
use super::{complain, say};
use crate::accounts::tokens::{NewToken, TokenView};
use crate::accounts::{Accounts, By};
use crate::config::Config;
use crate::database::Database;
use crate::domain::ids::TokenId;
use crate::domain::tokens::{Lifetime, Scope};

/// Makes, shows and revokes API tokens, by which programs act as a person.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign token create --email anna@example.org --label report --scope read --expires 30d"
)]
pub(super) struct Token {
    #[command(subcommand)]
    command: TokenCommand,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    Create(Create),
    List(List),
    Revoke(Revoke),
}

/// Make a token by which a program acts as this person
///
/// Prints the token once, alone, on standard output: it is not kept and cannot be shown again. It may do what the account
/// may do at that moment, but nothing that only admins may.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign token create --email anna@example.org --label report --scope read --expires 30d"
)]
struct Create {
    /// Whose token it is, by e-mail address
    #[arg(long)]
    email: String,
    /// What it is for: 1 to 80 characters, which anybody may read
    #[arg(long)]
    label: String,
    /// What it may be used for
    #[arg(long, value_enum)]
    scope: Scope,
    /// How long it serves: from 1h to 365d
    #[arg(long, value_name = "TIME")]
    expires: Lifetime,
}

/// List the tokens that were not revoked
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign token list --email anna@example.org")]
struct List {
    /// Only this person's
    #[arg(long)]
    email: Option<String>,
    /// Print JSON: an array of tokens
    #[arg(long)]
    json: bool,
}

/// Revoke a token: it is refused from the next request on
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign token revoke --id 01980f3e-5c1d-7e39-bd1d-0c3b4a5d6e7f")]
struct Revoke {
    /// The token's id, as `token list` shows it
    #[arg(long)]
    id: TokenId,
}

impl Token {
    pub(super) fn run(self) -> ExitCode {
        finish(with_database(&self.config, async |config, database| self.command.execute(config, database).await))
    }
}

impl TokenCommand {
    async fn execute(self, config: &Config, database: &Database) -> anyhow::Result<()> {
        let accounts = &open_accounts(config, database).await?;
        match self {
            Self::Create(create) => create.execute(accounts).await,
            Self::List(list) => list.execute(accounts).await,
            Self::Revoke(revoke) => revoke.execute(accounts).await,
        }
    }
}

impl Create {
    async fn execute(self, accounts: &Accounts) -> anyhow::Result<()> {
        let id = load_account(accounts, &self.email).await?;
        let new = NewToken { label: self.label, scope: self.scope, serves: self.expires };
        let made = accounts.create_token(&By::Operator, id, new).await?;
        if made.sleeps {
            complain("It works once they have chosen a password of their own.");
        }
        let TokenView { email, scope, expires_at, .. } = &made.token;
        complain(format_args!(
            "A token for {email}, scope {scope}, until {expires_at:.0}. It is shown only now, and whoever has it acts as \
             them:"
        ));
        say(made.secret.expose_secret());
        Ok(())
    }
}

impl List {
    async fn execute(&self, accounts: &Accounts) -> anyhow::Result<()> {
        let whose = match &self.email {
            Some(email) => Some(load_account(accounts, email).await?),
            None => None,
        };
        let all = accounts.list_tokens(whose).await?;
        if self.json {
            let all: Vec<Value> = all.iter().map(in_json).collect();
            say(serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        if all.is_empty() {
            complain("There is no token. `countersign token create --help` shows how to make one.");
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_header(["id", "whose", "label", "scope", "expires", "last used"]);
        for token in &all {
            let over = if token.is_over { " (over)" } else { "" };
            table.add_row([
                token.id.to_string(),
                token.email.clone(),
                token.label.clone(),
                token.scope.to_string(),
                format!("{:.0}{over}", token.expires_at),
                token.last_used_at.map_or_else(|| "never".to_owned(), |at| format!("{at:.0}")),
            ]);
        }
        say(table);
        Ok(())
    }
}

impl Revoke {
    async fn execute(&self, accounts: &Accounts) -> anyhow::Result<()> {
        match accounts.revoke_any_token(self.id).await? {
            Some(true) => complain("Revoked: it is refused from the next request on."),
            Some(false) => complain("It was revoked already."),
            None => bail!("There is no token {}. `countersign token list` shows all.", self.id),
        }
        Ok(())
    }
}

fn in_json(token: &TokenView) -> Value {
    json!({
        "id": token.id, "email": token.email, "label": token.label, "scope": token.scope.name(),
        "created_at": token.created_at, "expires_at": token.expires_at, "last_used_at": token.last_used_at,
        "is_over": token.is_over,
    })
}
