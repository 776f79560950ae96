//! Approvals: tokens, answers, expiry. The one place where a decision takes effect, whoever makes it.

use std::sync::Arc;

use jiff::SignedDuration;

use super::Turn;
use crate::simulator::{
    config::ExternalIds,
    definition::{Mode, Verdict},
    state::{Answer, Run, Status},
    world::Event,
};

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutError {
    StageNotFound,
    ActionNotFound,
    /// Unknown, expired, abandoned, or of an attempt that a retry replaced.
    InvalidToken,
    /// Already answered, and nothing newer has taken its place.
    AlreadyCompleted,
}

impl Turn<'_> {
    /// Outside PARALLEL the external id is no token unless the world says that ids coincide; in PARALLEL it is the only
    /// one there is.
    pub(super) fn give_token(&mut self, run: &mut Run) {
        let parallel = self.pipeline.executions[run.execution].definition.mode == Mode::Parallel;
        let same = self.settings.external_ids == ExternalIds::Same;
        let token = if same { run.id.clone() } else { self.uuid() };
        run.external_id = Some(if parallel || same { token.clone() } else { self.uuid() });
        run.token = Some(token);
        if run.spec.notification_fails {
            let topic = run.configuration.get("NotificationArn").map_or("(none)", String::as_str);
            run.fail("ConfigurationError", format!("No Amazon SNS topic with the ARN {topic} was found."));
        }
    }

    pub(super) fn schedule_approval(&mut self, number: usize) {
        let spec = Arc::clone(&self.pipeline.runs[number].spec);
        let timeout = spec.timeout_minutes.map_or(self.settings.approval_timeout, SignedDuration::from_mins);
        let due = self.after(timeout);
        self.schedule.add(due, self.pipeline, Event::Expire { run: number });
        let acting = spec.people.iter().position(|person| self.pipeline.random.fraction() < person.odds);
        if let Some(person) = acting {
            let due = self.after(spec.people[person].after.0);
            self.schedule.add(due, self.pipeline, Event::Answer { run: number, person });
        }
    }

    /// Somebody answers an approval by its token. Returns the action execution it applied to.
    ///
    /// # Errors
    /// The refusal AWS would give; nothing has changed then.
    pub fn put_approval_result(
        &mut self,
        (stage, action): (&str, &str),
        token: &str,
        answer: Answer<'_>,
    ) -> Result<usize, PutError> {
        let known = self.pipeline.definition.stage(stage).ok_or(PutError::StageNotFound)?;
        known.action(action).ok_or(PutError::ActionNotFound)?;
        let number = self.pipeline.find_token(token).ok_or(PutError::InvalidToken)?;
        let run = Arc::clone(&self.pipeline.runs[number]);
        if run.stage != stage || run.spec.name != action {
            return Err(PutError::InvalidToken);
        }
        if run.status == Status::InProgress {
            self.decide(number, answer);
            return Ok(number);
        }
        let latest = if self.pipeline.executions[run.execution].definition.mode == Mode::Parallel {
            let runs = &self.pipeline.executions[run.execution].runs;
            let same = |other: &&usize| {
                let other = &self.pipeline.runs[**other];
                other.stage == stage && other.spec.name == action
            };
            runs.iter().rev().find(same).copied()
        } else {
            self.pipeline.stages.get(stage).and_then(|stage| stage.latest_runs.get(action)).copied()
        };
        let answered_last = run.decided && latest == Some(number);
        Err(if answered_last { PutError::AlreadyCompleted } else { PutError::InvalidToken })
    }

    /// Applies an answer to a waiting approval; false when it does not wait (any more).
    pub fn decide(&mut self, number: usize, answer: Answer<'_>) -> bool {
        let Some(run) = self.pipeline.runs.get(number) else { return false };
        if run.status != Status::InProgress || !run.spec.waits_for_people() {
            return false;
        }
        let (at, execution) = (self.at, run.execution);
        let run = self.run(number);
        let said = if answer.summary.is_empty() {
            format!("{} by {}", answer.verdict.as_str(), answer.by)
        } else {
            answer.summary.to_owned()
        };
        match answer.verdict {
            Verdict::Approved => run.status = Status::Succeeded,
            Verdict::Rejected => run.fail("JobFailed", said.clone()),
        }
        run.summary = Some(said);
        run.updated_by = Some(answer.by.to_owned());
        run.updated = at;
        run.decided = true;
        self.execution(execution).updated = at;
        self.progress(execution);
        true
    }

    /// The time to answer is over. AWS documents no text for this and no updater, so there is neither.
    pub fn expire(&mut self, number: usize) {
        let run = &self.pipeline.runs[number];
        if run.status != Status::InProgress || !run.spec.waits_for_people() {
            return;
        }
        let (at, execution) = (self.at, run.execution);
        let run = self.run(number);
        run.fail("JobFailed", "The approval action timed out.".to_owned());
        run.updated = at;
        self.execution(execution).updated = at;
        self.progress(execution);
    }

    pub(super) fn answer_as_person(&mut self, number: usize, person: usize) {
        let spec = Arc::clone(&self.pipeline.runs[number].spec);
        let Some(person) = spec.people.get(person) else { return };
        self.decide(number, Answer { verdict: person.verdict, summary: &person.summary, by: &person.by });
    }
}
