//! What a person is shown about a request: from AWS's answers to [`Shown`], which a decision is bound to, and [`Details`],
//! which may change meanwhile. Pure; the same answers give the same bytes, so that a fingerprint only changes when
//! something did.

use jiff::{SignedDuration, Timestamp};

use super::observe::{Facts, Place, Waiting};
use super::stages;
use crate::codepipeline::observed::{ActionRun, PipelineState, Revision};
use crate::domain::approval::AtAws;
use crate::domain::details::{self, Details, MAX_VALUE, MAX_VARIABLES, SourceSeen, TriggerSeen, Variable, short};
use crate::domain::ids::{ApprovalId, Gate};
use crate::domain::shown::{MAX_COMMENT, MAX_REVISION_TEXT, MAX_REVISIONS, MAX_URL, Shown, ShownRevision};
use crate::domain::text::Clipped;
use crate::store::approvals::Approval;
use crate::store::pipelines::{GateSetting, Pipeline};

/// AWS's default, which an account may have changed (CodePipeline User Guide, Quotas).
const DEFAULT_TIMEOUT: SignedDuration = SignedDuration::from_hours(7 * 24);
/// How much of an id or a name that AWS does not bound is shown.
const MAX_NAME: usize = 100;

/// Everything a description is made from.
pub(super) struct Scene<'a> {
    pub place: &'a Place,
    pub pipeline: &'a Pipeline,
    pub setting: Option<&'a GateSetting>,
    pub waiting: &'a Waiting,
    pub state: Option<&'a PipelineState>,
    pub facts: &'a Facts,
}

/// The request as it stands, in the form it is kept.
pub(super) fn describe(scene: &Scene<'_>, id: ApprovalId, found_at: Timestamp) -> Approval {
    let waiting = scene.waiting;
    let own = scene.own_action();
    let gate = scene.gate();
    let shown = scene.shown(&gate);
    let said = own.and_then(|run| run.started_at).or(waiting.changed_at);
    let opened_at = said.unwrap_or(found_at);
    let timeout = scene.setting.and_then(|setting| setting.timeout_minutes);
    let lasts = timeout.map_or(DEFAULT_TIMEOUT, |minutes| SignedDuration::from_mins(minutes.into()));
    let shown_json = shown.to_json();
    Approval {
        id,
        gate,
        execution: waiting.execution.clone(),
        action_execution: waiting.action_execution.clone(),
        token: waiting.token.clone(),
        mode: waiting.mode.clone(),
        pipeline_version: scene.version(),
        opened_at,
        opened_about: said.is_none(),
        expires_at: opened_at.checked_add(lasts).unwrap_or(Timestamp::MAX),
        expires_about: timeout.is_none()
            || said.is_none()
            || scene.version().is_some_and(|v| v != scene.pipeline.version),
        found_at,
        seen_open_at: waiting.seen_at,
        at_aws: AtAws::Open,
        closed_at: None,
        closed_why: None,
        decided: None,
        decided_by: None,
        decided_summary: None,
        fingerprint: shown.fingerprint(),
        shown,
        shown_json,
        details: scene.details(),
    }
}

impl Scene<'_> {
    fn gate(&self) -> Gate {
        Gate {
            source: self.place.source.clone(),
            pipeline: self.pipeline.name.clone(),
            stage: self.waiting.stage.clone(),
            action: self.waiting.action.clone(),
        }
    }

    /// The action execution that waits, where AWS lets us read it.
    fn own_action(&self) -> Option<&ActionRun> {
        self.facts.actions.as_deref()?.iter().find(|run| self.waiting.is(run))
    }

    fn version(&self) -> Option<i32> {
        let run = self.facts.run.as_ref().and_then(|run| run.pipeline_version);
        self.own_action().and_then(|own| own.pipeline_version).or(run)
    }

    fn shown(&self, gate: &Gate) -> Shown {
        let own = self.own_action();
        let comment = own.map_or_else(|| self.setting.and_then(|it| it.comment.clone()), |it| it.comment.clone());
        let url = own.map_or_else(|| self.setting.and_then(|it| it.review_url.clone()), |it| it.review_url.clone());
        let revisions = self.facts.run.as_ref().map(|run| run.revisions.as_slice()).unwrap_or_default();
        Shown {
            gate: gate.clone(),
            account: self.place.account.clone(),
            region: self.place.region.clone(),
            execution: self.waiting.execution.to_string(),
            action_execution: self.waiting.action_execution.as_deref().map(name),
            token_hash: hex::encode(self.waiting.token.hash()),
            revisions: revisions.iter().take(MAX_REVISIONS).map(|it| self.revision(it)).collect(),
            more_revisions: revisions.len().saturating_sub(MAX_REVISIONS) as u64,
            comment: comment.map(|text| Clipped::new(&text, MAX_COMMENT)),
            review_url: url.map(|text| Clipped::new(&text, MAX_URL)),
        }
    }

    fn revision(&self, revision: &Revision) -> ShownRevision {
        let source = self.source_of(revision);
        let said = revision.summary.as_deref().map(message_in);
        let message = said.or_else(|| source.and_then(|run| variable(run, "CommitMessage")).map(str::to_owned));
        ShownRevision {
            name: name(source.map_or(&revision.name, |run| run.action.as_str())),
            id: name(&revision.id),
            message: message.filter(|text| !text.is_empty()).map(|text| Clipped::new(&text, MAX_REVISION_TEXT)),
            author: source.and_then(author).map(name),
            url: revision.url.as_deref().map(|text| Clipped::new(text, MAX_REVISION_TEXT)),
        }
    }

    /// The source action that produced a revision: by the commit it names, else by being the only one.
    fn source_of(&self, revision: &Revision) -> Option<&ActionRun> {
        let mut sources = self.sources();
        let exact = self.sources().find(|run| {
            variable(run, "CommitId") == Some(revision.id.as_str())
                || run.external_execution.as_deref() == Some(revision.id.as_str())
                || run.action.as_str() == revision.name
        });
        exact.or_else(|| sources.next().filter(|_| sources.next().is_none()))
    }

    fn sources(&self) -> impl Iterator<Item = &ActionRun> {
        let all = self.facts.actions.as_deref().unwrap_or_default();
        all.iter().filter(|run| run.is_source && run.status == "Succeeded")
    }

    fn details(&self) -> Details {
        let run = self.facts.run.as_ref();
        let started = self.facts.actions.iter().flatten().filter_map(|run| run.started_at).min();
        let variables = run.map(|run| run.variables.as_slice()).unwrap_or_default();
        let (newer, more_newer) = stages::newer(self.state, self.waiting, &self.facts.runs);
        Details {
            answerable: self.waiting.token.is_answerable(),
            resolved: self.own_action().is_some_and(|own| own.resolved) || !self.has_variables(),
            complete: self.facts.complete,
            trigger: run.and_then(|run| run.trigger.as_ref()).map(|trigger| TriggerSeen {
                kind: short(&trigger.kind),
                detail: trigger.detail.as_deref().map(short),
            }),
            run_started_at: started,
            run_status: run.map(|run| short(&run.status)),
            run_kind: run.and_then(|run| run.kind.as_deref()).map(short),
            rollback_of: run.and_then(|run| run.rollback_of.as_deref()).map(short),
            variables: variables.iter().take(MAX_VARIABLES).map(kept).collect(),
            sources: self.sources().take(MAX_REVISIONS).map(source_seen).collect(),
            newer,
            more_newer,
            stages: stages::views(self.pipeline, self.state, &self.waiting.execution, self.facts.actions.as_deref()),
        }
    }

    /// Whether anything is left to be resolved in what is shown.
    fn has_variables(&self) -> bool {
        let shown = self.shown(&self.gate());
        [shown.comment, shown.review_url].iter().flatten().any(|text| text.text.contains("#{"))
    }
}

fn kept((key, value): &(String, String)) -> Variable {
    Variable { name: short(key), value: Clipped::new(value, MAX_VALUE) }
}

fn name(text: &str) -> String {
    Clipped::new(text, MAX_NAME).text
}

fn variable<'a>(run: &'a ActionRun, key: &str) -> Option<&'a str> {
    run.source_variables.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

fn author(run: &ActionRun) -> Option<&str> {
    variable(run, "AuthorDisplayName").or_else(|| variable(run, "AuthorEmail")).or_else(|| variable(run, "AuthorId"))
}

fn source_seen(run: &ActionRun) -> SourceSeen {
    let said = |key| variable(run, key).map(short);
    SourceSeen {
        name: run.action.to_string(),
        author: author(run).map(short),
        author_email: said("AuthorEmail"),
        authored_at: said("AuthorDate").or_else(|| said("CommitterDate")),
        branch: said("BranchName"),
        repository: said("FullRepositoryName").or_else(|| said("RepositoryName")),
    }
}

/// The message in a revision's summary: connections write JSON, which a long message may have cut short; others write
/// plain text.
pub(super) fn message_in(summary: &str) -> String {
    const KEY: &str = "\"CommitMessage\":";
    if !summary.trim_start().starts_with('{') {
        return summary.trim_end().to_owned();
    }
    if let Ok(serde_json::Value::Object(members)) = serde_json::from_str(summary) {
        let message = members.get("CommitMessage").and_then(serde_json::Value::as_str);
        return message.unwrap_or(summary).trim_end().to_owned();
    }
    let Some(cut) = summary.split_once(KEY).and_then(|(_, rest)| rest.trim_start().strip_prefix('"')) else {
        return summary.trim_end().to_owned();
    };
    // Closing the string again makes what is left of it readable; an escape that was cut in two goes.
    (0..8)
        .filter_map(|less| cut.get(..cut.len().checked_sub(less)?))
        .find_map(|part| serde_json::from_str::<String>(&format!("\"{part}\"")).ok())
        .unwrap_or_else(|| cut.to_owned())
}

/// The first line of what a revision brings, for a list.
pub(super) fn headline(revision: &Revision) -> String {
    let message = revision.summary.as_deref().map(message_in).unwrap_or_default();
    let line = message.lines().next().filter(|line| !line.trim().is_empty()).unwrap_or(&revision.id);
    Clipped::new(line, details::MAX_VALUE).text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_message_is_found_in_whatever_form_it_comes() {
        assert_eq!(message_in("Subnet added\n"), "Subnet added");
        assert_eq!(message_in(r#"{"ProviderType":"GitHub","CommitMessage":"fix: a\nb"}"#), "fix: a\nb");
        assert_eq!(message_in(r#"{"ProviderType":"GitHub","CommitMessage":"a long messa"#), "a long messa");
        assert_eq!(
            message_in(r#"{"ProviderType":"GitHub","CommitMessage":"cut in an escape \u00e"#),
            "cut in an escape "
        );
        assert_eq!(message_in(r#"{"other":1}"#), r#"{"other":1}"#);
        assert_eq!(message_in("{not json"), "{not json");
    }
}
