//! What happened, counted.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use crate::harness::{History, Told};

#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<String, u64>>);

impl Tally {
    pub fn count(&self, what: impl Into<String>) {
        self.add(what, 1);
    }

    pub fn add(&self, what: impl Into<String>, by: u64) {
        *self.0.lock().unwrap().entry(what.into()).or_default() += by;
    }

    pub fn of(&self, what: &str) -> u64 {
        self.0.lock().unwrap().get(what).copied().unwrap_or(0)
    }

    /// Counts what the history holds.
    pub fn read(&self, history: &History) {
        self.add("decisions asked for", history.deeds.len() as u64);
        self.add("effects at AWS", history.effects.len() as u64);
        self.add("sends received by AWS", history.receipts.len() as u64);
        self.add("records", history.records.len() as u64);
        for row in &history.rows {
            self.count(format!("decisions that ended {}", row.state));
        }
        for told in history.deeds.iter().flat_map(|deed| &deed.told) {
            self.count(match told {
                Told::Done => "told: done",
                Told::Not(_) => "told: not done",
                Told::NotNow(_) => "told: not this time",
                Told::Unknown(_) => "told: not known",
            });
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, count) in &*self.0.lock().unwrap() {
            writeln!(f, "  {count:>7}  {what}")?;
        }
        Ok(())
    }
}
