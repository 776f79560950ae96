//! The operations of the API: one file per group. Each takes the checked request and gives the answer as JSON; what
//! they change goes through `engine`. Members are present or absent as AWS sends them.

mod actions;
mod approvals;
mod control;
mod executions;
mod paging;
mod pipelines;
mod state;
mod tags;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{state::Pipeline, wire::ApiError, world::World};

pub use approvals::Applied;

/// A request that passed authentication and the model's constraints.
#[derive(Debug)]
pub struct Request<'a> {
    pub world: &'a Mutex<World>,
    pub body: &'a Map<String, Value>,
    /// ARN of the caller.
    pub caller: &'a str,
    pub now: Timestamp,
    /// Reads answer as of this instant, when it is not the present.
    pub as_of: Option<Timestamp>,
    /// Page size of ListPipelines when the caller names none.
    pub default_page: usize,
}

/// What an operation came to: the answer, and the decision it applied if it was one.
pub type Done = (Value, Option<Applied>);

/// Performs an operation.
///
/// # Errors
/// The modelled error.
pub fn perform(operation: &str, request: &Request<'_>) -> Result<Done, ApiError> {
    let answer = match operation {
        "ListPipelines" => pipelines::list(request),
        "GetPipeline" => pipelines::read(request),
        "GetPipelineState" => state::read(request),
        "ListPipelineExecutions" => executions::list(request),
        "GetPipelineExecution" => executions::read(request),
        "ListActionExecutions" => actions::list(request),
        "ListTagsForResource" => tags::list(request),
        "PutApprovalResult" => return approvals::put(request).map(|(answer, applied)| (answer, Some(applied))),
        "StartPipelineExecution" => control::start(request),
        "StopPipelineExecution" => control::stop(request),
        "RetryStageExecution" => control::retry(request),
        "RollbackStage" => control::roll_back(request),
        "EnableStageTransition" => control::enable(request),
        "DisableStageTransition" => control::disable(request),
        _ => Err(ApiError::new("UnknownOperationException", "")),
    };
    answer.map(|answer| (answer, None))
}

/// Whether an operation changes a world when it is granted.
pub fn changes(operation: &str) -> bool {
    !operation.starts_with("List") && !operation.starts_with("Get")
}

impl Request<'_> {
    /// A text member that the constraints made sure of.
    fn text(&self, name: &str) -> &str {
        self.body.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pipeline a read is about. The lock is let go at once.
    fn pipeline(&self, name: &str) -> Result<Arc<Pipeline>, ApiError> {
        let world = self.world();
        world.find_pipeline(name, self.as_of).ok_or_else(|| not_found(&world, name))
    }
}

fn not_found(world: &World, name: &str) -> ApiError {
    let message = format!("Account '{}' does not have a pipeline with name '{name}'", world.settings.account);
    ApiError::new("PipelineNotFoundException", message)
}

/// Inserts a member unless it is absent.
fn put(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}
