//! Faults on order. A fault says which calls it hits (operation, pipeline, account, region, how many, how likely) and
//! what happens to them. This module chooses; `service` carries out. Choices are repeatable from the world's seed.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::random::Random;

/// A fault and the calls it hits. Members left out match everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Fault {
    #[serde(flatten)]
    pub kind: FaultKind,
    pub operation: Option<String>,
    pub pipeline: Option<String>,
    pub account: Option<String>,
    pub region: Option<String>,
    /// Lets this many matching calls pass first.
    pub skip: u32,
    /// Hits this many calls and is gone; stays until cleared when absent.
    pub count: Option<u32>,
    /// Hits each matching call with this probability; always when absent.
    pub probability: Option<f64>,
}

/// What a fault does. Where it has `applied`, false means the call changes nothing, true that it changes everything
/// and only the answer is lost or spoilt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// `ThrottlingException`, "Rate exceeded".
    #[default]
    Throttle,
    /// Real milliseconds before the call is looked at.
    Delay { ms: u64 },
    /// An error answer with any status and code.
    Error {
        status: u16,
        #[serde(default = "internal_failure")]
        code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        body: ErrorBody,
        #[serde(default)]
        applied: bool,
    },
    /// The connection is reset instead of an answer.
    Reset {
        #[serde(default)]
        applied: bool,
    },
    /// Held for so many seconds of the simulator's clock (for ever when absent) or until released; then applied and
    /// answered if `applied`, else dropped without effect. A caller that has gone away changes nothing about it.
    Hang {
        #[serde(default)]
        seconds: Option<f64>,
        #[serde(default)]
        applied: bool,
    },
    /// 200 without a body.
    Empty {
        #[serde(default)]
        applied: bool,
    },
    /// The true answer breaks off in the middle.
    Truncate,
    /// Reads answer as of so many seconds ago. Decisions are not affected.
    Stale { seconds: f64 },
    /// `ExpiredTokenException`.
    Expired,
    /// `AccessDeniedException` in IAM's words.
    Denied,
    /// An error code nobody has heard of.
    UnknownCode { code: String },
    /// The answer grows by so many bytes.
    Huge { bytes: usize },
    /// Members taken out of the answer wherever they occur.
    Missing { members: Vec<String> },
    /// Every `status` in the answer becomes a word of the future.
    UnknownEnum,
    /// SIGKILL to a process at a moment of the call.
    Signal { at: Moment, pid: i32 },
    /// The call waits at a moment until released.
    Block { at: Moment },
}

fn internal_failure() -> String {
    "InternalFailure".to_owned()
}

/// What an error answer looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorBody {
    #[default]
    Json,
    Html,
    Empty,
}

/// A moment in the life of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Received, nothing done.
    Received,
    /// The effect has happened.
    Applied,
    /// The answer is ready and not sent.
    Answering,
}

/// A call, as far as faults look at it.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    pub operation: &'a str,
    pub pipeline: &'a str,
    pub account: &'a str,
    pub region: &'a str,
}

/// What shall happen to one call, in the order the faults were added.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub hits: Vec<(u64, FaultKind)>,
}

impl Plan {
    /// The first fault for which `choose` finds something.
    pub fn find<T>(&self, choose: impl Fn(u64, &FaultKind) -> Option<T>) -> Option<T> {
        self.hits.iter().find_map(|(id, kind)| choose(*id, kind))
    }
}

/// The faults in force.
#[derive(Debug)]
pub struct Faults {
    active: Mutex<(u64, Vec<(u64, Fault)>)>,
    random: Random,
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Self { active: Mutex::default(), random: Random::seeded(seed ^ 0xFA17) }
    }

    /// Adds a fault; the number returned removes or releases it.
    pub fn add(&self, fault: Fault) -> u64 {
        let mut active = self.active();
        active.0 += 1;
        let id = active.0;
        active.1.push((id, fault));
        id
    }

    pub fn remove(&self, id: u64) {
        self.active().1.retain(|(known, _)| *known != id);
    }

    pub fn clear(&self) -> Vec<u64> {
        std::mem::take(&mut self.active().1).into_iter().map(|(id, _)| id).collect()
    }

    pub fn list(&self) -> Vec<(u64, Fault)> {
        self.active().1.clone()
    }

    /// Chooses the faults that hit a call, and counts them down.
    pub fn plan(&self, target: Target<'_>) -> Plan {
        let mut active = self.active();
        let mut hits = Vec::new();
        for (id, fault) in &mut active.1 {
            if !fault.matches(target) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
            } else if fault.probability.is_none_or(|odds| self.random.fraction() < odds) {
                fault.count = fault.count.map(|count| count.saturating_sub(1));
                hits.push((*id, fault.kind.clone()));
            }
        }
        active.1.retain(|(_, fault)| fault.count != Some(0));
        Plan { hits }
    }

    fn active(&self) -> MutexGuard<'_, (u64, Vec<(u64, Fault)>)> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fault {
    /// A fault that hits every call of `operation`.
    #[must_use]
    pub fn on(operation: &str, kind: FaultKind) -> Self {
        Self { kind, operation: Some(operation.to_owned()), ..Self::default() }
    }

    /// The same for the next `count` calls only.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self { count: Some(count), ..self }
    }

    /// The same for one pipeline only.
    #[must_use]
    pub fn of(self, pipeline: &str) -> Self {
        Self { pipeline: Some(pipeline.to_owned()), ..self }
    }

    fn matches(&self, target: Target<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        fits(&self.operation, target.operation)
            && fits(&self.pipeline, target.pipeline)
            && fits(&self.account, target.account)
            && fits(&self.region, target.region)
    }
}
