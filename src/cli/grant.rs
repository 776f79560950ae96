//! `countersign grant`: who may decide what, from the operator's terminal. What is done here is recorded as the operator's.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use comfy_table::Table;
use serde_json::{Value, json};

use super::opening::{ConfigFile, finish, with_database};
use super::{complain, say};
use crate::access::Access;
use crate::access::grants::{Asked, Whom};
use crate::accounts::By;
use crate::clock::Clock;
use crate::domain::access::{Capability, GateFields};
use crate::domain::ids::GrantId;
use crate::random::Random;
use crate::store::access::grants::{Grant as Given, To};

/// Says who may decide what: gives grants, shows and ends them.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign grant add --email anna@example.org --pipeline 'shop-*' --stage Production"
)]
pub(super) struct Grant {
    #[command(subcommand)]
    command: GrantCommand,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Subcommand)]
enum GrantCommand {
    Add(Add),
    List(List),
    End(End),
}

/// What a grant lets somebody do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Lets {
    /// Decide approvals
    Decide,
    /// Be named as a stand-in by somebody who decides
    StandIn,
}

/// Let a person or a group decide the gates that fit
///
/// In every pattern * stands for any characters and ? for one; a pattern that is left out fits everything. Prints the id of
/// the grant alone on standard output.
#[derive(Debug, Args)]
#[command(
    group(ArgGroup::new("whom").required(true).args(["email", "group"])),
    after_help = "Examples:
  countersign grant add --email anna@example.org --pipeline 'shop-*' --stage Production
  countersign grant add --group Payments --source payments
  countersign grant add --group Payments --tag team=payments
  countersign grant add --email lee@example.org --lets stand-in"
)]
struct Add {
    /// The person, by e-mail address
    #[arg(long)]
    email: Option<String>,
    /// The group, by name
    #[arg(long)]
    group: Option<String>,
    /// What it lets them do
    #[arg(long, value_enum, default_value = "decide")]
    lets: Lets,
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    source: String,
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    pipeline: String,
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    stage: String,
    /// The approval action's name
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    action: String,
    /// A tag that the pipeline must carry; the value is a pattern
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Option<String>,
    /// Why, for whoever reads it later
    #[arg(long, default_value = "")]
    note: String,
}

/// List the grants that hold
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign grant list --json")]
struct List {
    /// Print JSON: an array of grants
    #[arg(long)]
    json: bool,
}

/// End a grant: from then on it lets nobody do anything
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign grant end --id 01980f3e-5c1d-7e39-bd1d-0c3b4a5d6e7f")]
struct End {
    /// The grant's id, as `grant list` shows it
    #[arg(long)]
    id: GrantId,
}

impl Grant {
    pub(super) fn run(self) -> ExitCode {
        finish(with_database(&self.config, async |_, database| {
            self.command.execute(&Access::new(database.clone(), Clock::system(), Random::system())).await
        }))
    }
}

impl GrantCommand {
    async fn execute(self, access: &Access) -> anyhow::Result<()> {
        match self {
            Self::Add(add) => add.execute(access).await,
            Self::List(list) => list.execute(access).await,
            Self::End(end) => {
                access.end_grant(&By::Operator, end.id).await?;
                complain("Ended.");
                Ok(())
            }
        }
    }
}

impl Add {
    async fn execute(self, access: &Access) -> anyhow::Result<()> {
        let asked = self.asked()?;
        let checked = match access.check(&asked).await? {
            Ok(checked) => checked,
            Err(mistakes) => {
                let said: Vec<_> =
                    mistakes.0.iter().map(|(field, problem)| format!("--{}: {problem}", option(field))).collect();
                bail!("{}", said.join("\n"));
            }
        };
        let fits = access.picture(None).await?.fitting(&checked.gates).len();
        let id = access.give(&By::Operator, &asked).await?;
        let may = match checked.capability {
            Capability::Decide => "may decide",
            Capability::StandIn => "may be named as a stand-in at",
        };
        let gates = if fits == 1 { "gate" } else { "gates" };
        complain(format_args!("{} {may} {}: it fits {fits} {gates} now.", checked.to_name, checked.gates));
        say(id);
        Ok(())
    }

    fn asked(self) -> anyhow::Result<Asked> {
        let (tag_key, tag_value) = match &self.tag {
            None => Default::default(),
            Some(tag) => tag.split_once('=').with_context(|| {
                format!("--tag {tag}: write it as KEY=VALUE; KEY=* is any value. Nothing was given.")
            })?,
        };
        let gates = GateFields {
            source: self.source,
            pipeline: self.pipeline,
            stage: self.stage,
            action: self.action,
            tag_key: tag_key.to_owned(),
            tag_value: tag_value.to_owned(),
        };
        let whom = match (self.email, self.group) {
            (Some(email), _) => Whom::Email(email),
            (None, group) => Whom::Group(group.unwrap_or_default()),
        };
        let capability = match self.lets {
            Lets::Decide => Capability::Decide,
            Lets::StandIn => Capability::StandIn,
        };
        Ok(Asked { capability, whom, gates, note: self.note })
    }
}

/// The option that a field of the service is here.
fn option(field: &str) -> &str {
    match field {
        "tag_key" | "tag_value" => "tag",
        field => field,
    }
}

impl List {
    async fn execute(&self, access: &Access) -> anyhow::Result<()> {
        let grants = access.list_grants().await?;
        if self.json {
            let all: Vec<Value> = grants.iter().map(in_json).collect();
            say(serde_json::to_string_pretty(&all)?);
            return Ok(());
        }
        if grants.is_empty() {
            complain(
                "Nobody may decide anything: there is no grant. `countersign grant add --help` shows how to give one.",
            );
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_header(["id", "given to", "lets them", "gates", "since", "note"]);
        for grant in &grants {
            table.add_row([
                grant.id.to_string(),
                given_to(grant),
                grant.capability.name().replace('_', " "),
                grant.gates.to_string(),
                format!("{:.0}", grant.from),
                grant.note.clone(),
            ]);
        }
        say(table);
        Ok(())
    }
}

fn given_to(grant: &Given) -> String {
    match (&grant.to, &grant.to_email) {
        (To::Person(_), Some(email)) => email.clone(),
        (To::Person(_), None) => grant.to_name.clone(),
        (To::Group(_), _) => format!("group {}", grant.to_name),
    }
}

fn in_json(grant: &Given) -> Value {
    let to = match grant.to {
        To::Person(id) => json!({ "person": id, "name": grant.to_name, "email": grant.to_email }),
        To::Group(id) => json!({ "group": id, "name": grant.to_name }),
    };
    json!({
        "id": grant.id, "lets": grant.capability.name(), "given_to": to, "gates": grant.gates.to_string(),
        "pattern": grant.gates.fields(), "since": grant.from, "note": grant.note,
    })
}
