//! What the simulator saw: every call, every PutApprovalResult received, every decision that took effect. Tests compare
//! it with what the portal says it did, so nothing here is ever changed afterwards, only completed.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

/// How many single calls are kept; the counts are complete.
const RECENT_CALLS: usize = 10_000;

/// A decision that took effect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    pub at: Timestamp,
    pub account: String,
    pub region: String,
    pub pipeline: String,
    pub stage: String,
    pub action: String,
    pub execution: String,
    pub action_execution: String,
    pub token: String,
    /// `Approved` or `Rejected`.
    pub verdict: String,
    pub summary: String,
    pub caller: String,
    pub access_key: String,
    /// The receipt it belongs to.
    pub receipt: u64,
}

/// A PutApprovalResult that arrived, whatever became of it.
#[derive(Clone, Debug, Serialize)]
pub struct Receipt {
    pub number: u64,
    pub account: String,
    pub region: String,
    pub pipeline: String,
    pub stage: String,
    pub action: String,
    pub token: String,
    pub verdict: String,
    pub summary: String,
    pub caller: String,
    pub access_key: String,
    pub started: Timestamp,
    pub ended: Option<Timestamp>,
    /// Order of arrival and end among all calls: two sends overlap if one starts before the other has ended, also when
    /// the clock stands still.
    pub started_order: u64,
    pub ended_order: Option<u64>,
    pub applied: bool,
    /// `200`, an error code, `empty`, `reset` or `dropped`.
    pub answer: Option<String>,
}

/// One call.
#[derive(Clone, Debug, Serialize)]
pub struct Call {
    /// When it had arrived.
    pub began: Timestamp,
    /// When its answer was ready.
    pub at: Timestamp,
    pub operation: String,
    pub account: String,
    pub region: String,
    pub pipeline: String,
    pub caller: String,
    pub answer: String,
}

/// All calls so far.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Calls {
    /// Calls received per operation.
    pub counts: BTreeMap<String, u64>,
    /// The newest calls that were answered, oldest first.
    pub recent: VecDeque<Call>,
}

#[derive(Debug, Default)]
struct Entries {
    order: u64,
    calls: Calls,
    receipts: Vec<Receipt>,
    effects: Vec<Effect>,
}

/// The journal of a simulator.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Mutex<Entries>,
    changed: watch::Sender<u64>,
}

impl Journal {
    pub fn effects(&self) -> Vec<Effect> {
        self.entries().effects.clone()
    }

    pub fn receipts(&self) -> Vec<Receipt> {
        self.entries().receipts.clone()
    }

    pub fn calls(&self) -> Calls {
        self.entries().calls.clone()
    }

    /// How often an operation was called.
    pub fn count(&self, operation: &str) -> u64 {
        self.entries().calls.counts.get(operation).copied().unwrap_or(0)
    }

    /// Forgets the calls; effects and receipts stay.
    pub fn clear_calls(&self) {
        self.entries().calls = Calls::default();
    }

    /// Waits until `operation` was called `count` times.
    pub async fn until_called(&self, operation: &str, count: u64) {
        let mut changes = self.changed.subscribe();
        while self.count(operation) < count {
            if changes.changed().await.is_err() {
                break;
            }
        }
    }

    pub(super) fn received(&self, operation: &str) {
        *self.entries().calls.counts.entry(operation.to_owned()).or_default() += 1;
        self.changed.send_modify(|version| *version += 1);
    }

    pub(super) fn answered(&self, call: Call) {
        let mut entries = self.entries();
        if entries.calls.recent.len() == RECENT_CALLS {
            entries.calls.recent.pop_front();
        }
        entries.calls.recent.push_back(call);
    }

    /// Opens a receipt and returns its number.
    pub(super) fn open_receipt(&self, mut receipt: Receipt) -> u64 {
        let mut entries = self.entries();
        entries.order += 1;
        receipt.started_order = entries.order;
        receipt.number = entries.receipts.len() as u64 + 1;
        entries.receipts.push(receipt);
        entries.receipts.len() as u64
    }

    /// Notes that a receipt's decision took effect.
    pub(super) fn applied(&self, number: u64, at: Timestamp, execution: String, action_execution: String) {
        let mut entries = self.entries();
        let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        let Some(receipt) = entries.receipts.get_mut(index) else { return };
        receipt.applied = true;
        let receipt = receipt.clone();
        entries.effects.push(Effect {
            at,
            account: receipt.account,
            region: receipt.region,
            pipeline: receipt.pipeline,
            stage: receipt.stage,
            action: receipt.action,
            execution,
            action_execution,
            token: receipt.token,
            verdict: receipt.verdict,
            summary: receipt.summary,
            caller: receipt.caller,
            access_key: receipt.access_key,
            receipt: number,
        });
    }

    /// Closes a receipt with what was answered.
    pub(super) fn close_receipt(&self, number: u64, at: Timestamp, answer: &str) {
        let mut entries = self.entries();
        entries.order += 1;
        let order = entries.order;
        let index = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
        if let Some(receipt) = entries.receipts.get_mut(index) {
            receipt.ended = Some(at);
            receipt.ended_order = Some(order);
            receipt.answer = Some(answer.to_owned());
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
