//! Actions: starting them with their variables resolved, finishing them, what a source brings in.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Turn;
use crate::simulator::{
    definition::{ActionSpec, Texts},
    state::{Execution, Failure, Revision, Run, Status},
    variables,
    world::Event,
};

impl Turn<'_> {
    /// Starts an action of an execution that is inside `stage`.
    pub(super) fn start_action(&mut self, index: usize, stage: &str, name: &str) {
        let definition = self.pipeline.executions[index].definition.clone();
        let Some(spec) = definition.stage(stage).and_then(|stage| stage.action(name)).cloned() else { return };
        let resolved = variables::resolve_all(&spec.configuration, &self.pipeline.executions[index]);
        let mut run = Run {
            id: self.uuid(),
            execution: index,
            stage: stage.to_owned(),
            status: Status::InProgress,
            started: self.at,
            updated: self.at,
            token: None,
            external_id: None,
            summary: None,
            updated_by: None,
            failure: None,
            outputs: Texts::new(),
            decided: false,
            will_fail: self.pipeline.random.fraction() < spec.fail,
            configuration: resolved.clone().unwrap_or_default(),
            spec: Arc::clone(&spec),
        };
        match resolved {
            Err(reference) => run.fail("InvalidActionConfiguration", format!("The variable {reference} has no value.")),
            Ok(_) if spec.is_manual_approval() => self.give_token(&mut run),
            Ok(_) => run.external_id = Some(format!("{}:{}", self.pipeline.definition.name, self.uuid())),
        }
        let number = self.pipeline.runs.len();
        self.pipeline.runs.push(Arc::new(run));
        let execution = self.execution(index);
        execution.runs.push(number);
        execution.attempt.insert(name.to_owned(), number);
        self.stage(stage).latest_runs.insert(name.to_owned(), number);
        self.schedule_run(number);
    }

    fn schedule_run(&mut self, number: usize) {
        let spec = Arc::clone(&self.pipeline.runs[number].spec);
        if self.pipeline.runs[number].status != Status::InProgress {
            return;
        }
        if spec.is_manual_approval() {
            return self.schedule_approval(number);
        }
        if spec.waits_for_people() {
            return;
        }
        let (shortest, longest) = spec.seconds;
        let drawn = shortest + (longest - shortest).max(0.0) * self.pipeline.random.fraction();
        let due = self.after(SignedDuration::try_from_secs_f64(drawn).unwrap_or_default());
        self.schedule.add(due, self.pipeline, Event::Finish { run: number });
    }

    /// An action's work is done.
    pub fn finish(&mut self, number: usize) {
        let run = Arc::clone(&self.pipeline.runs[number]);
        if run.status != Status::InProgress || run.spec.is_manual_approval() {
            return;
        }
        let at = self.at;
        if run.will_fail {
            let name = &run.spec.name;
            let message = format!("Build terminated with state: FAILED. Phase: BUILD, action: {name}");
            let failed = self.run(number);
            failed.fail("JobFailed", message);
            failed.updated = at;
            return self.progress(run.execution);
        }
        let (outputs, summary) = if run.spec.is_source() {
            self.bring_in(run.execution, &run.spec)
        } else {
            (run.spec.outputs.clone(), None)
        };
        if let Some(namespace) = &run.spec.namespace {
            self.execution(run.execution).outputs.insert(namespace.clone(), outputs.clone());
        }
        self.execution(run.execution).updated = at;
        let done = self.run(number);
        done.status = Status::Succeeded;
        done.updated = at;
        done.outputs = outputs;
        done.summary = summary;
        self.progress(run.execution);
    }

    /// What a source action finds: the revision, its variables and its summary.
    fn bring_in(&mut self, index: usize, spec: &ActionSpec) -> (Texts, Option<String>) {
        let execution = &self.pipeline.executions[index];
        let given = execution.revisions.iter().find(|revision| revision.action == spec.name).cloned();
        let revision = given.unwrap_or_else(|| {
            let bytes = self.pipeline.random.bytes::<20>();
            let id = execution.commit.id.clone().unwrap_or_else(|| hex::encode(bytes));
            self.revision(spec, execution, id)
        });
        let mut outputs = source_variables(spec, execution, &revision);
        outputs.extend(spec.outputs.clone());
        let summary = Some(revision.summary.clone());
        let execution = self.execution(index);
        execution.revisions.retain(|known| known.action != spec.name);
        execution.revisions.push(revision);
        if let Some(run) = execution.attempt.get(&spec.name).copied() {
            let id = execution.revisions.last().map(|revision| revision.id.clone());
            self.run(run).external_id = id;
        }
        (outputs, summary)
    }

    fn revision(&self, spec: &ActionSpec, execution: &Execution, id: String) -> Revision {
        let (account, region) = (&self.settings.account, &self.settings.region);
        let repository = spec.configuration.get("FullRepositoryId").map_or("", String::as_str);
        let message = &execution.commit.message;
        let (summary, url) = match &*spec.provider {
            "CodeStarSourceConnection" => {
                let full = serde_json::json!({"ProviderType": "GitHub", "CommitMessage": message}).to_string();
                let connection = format!("arn:aws:codestar-connections:{region}:{account}:connection/demo");
                let url = format!(
                    "https://{region}.console.aws.amazon.com/codesuite/settings/connections/redirect?connectionArn=\
                     {connection}&referenceType=COMMIT&FullRepositoryId={repository}&Commit={id}"
                );
                // The member holds 2048 characters at most, so a long message leaves JSON that is cut off.
                (full.chars().take(2048).collect(), Some(url))
            }
            "S3" => (format!("Amazon S3 version id: {id}"), None),
            _ => (format!("{message}\n").chars().take(2048).collect(), None),
        };
        Revision { action: spec.name.clone(), id, summary, url }
    }
}

fn source_variables(spec: &ActionSpec, execution: &Execution, revision: &Revision) -> Texts {
    let configured = |key: &str| spec.configuration.get(key).cloned().unwrap_or_default();
    if spec.provider == "S3" {
        return [("VersionId", revision.id.clone()), ("ETag", revision.id.chars().take(32).collect())]
            .map(|(key, value)| (key.to_owned(), value))
            .into();
    }
    let mut variables = vec![
        ("AuthorDate", execution.started.to_string()),
        ("BranchName", configured("BranchName")),
        ("CommitId", revision.id.clone()),
        ("CommitMessage", execution.commit.message.clone()),
    ];
    if spec.provider == "CodeStarSourceConnection" {
        variables.push(("FullRepositoryName", configured("FullRepositoryId")));
        variables.push(("ConnectionArn", configured("ConnectionArn")));
    } else {
        variables.push(("RepositoryName", configured("FullRepositoryId")));
        variables.push(("CommitterDate", execution.started.to_string()));
    }
    if let Some(author) = &execution.commit.author {
        variables.push(("AuthorDisplayName", author.clone()));
    }
    variables.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

impl Run {
    pub(super) fn fail(&mut self, code: &'static str, message: String) {
        self.status = Status::Failed;
        self.failure = Some(Failure { code, message });
    }
}
