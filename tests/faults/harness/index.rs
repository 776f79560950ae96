//! A history, arranged by what the judge looks it up by.

use std::collections::HashMap;

use countersign::domain::summary::Marker;
use countersign::simulator::Effect;

use super::history::{History, Known, Record};

/// The history, by what it is looked up by.
pub struct Index<'a> {
    pub intended: HashMap<i64, &'a Record>,
    /// By the words a person wrote.
    pub intents: HashMap<&'a str, Vec<&'a Record>>,
    /// By decision.
    pub accepted: HashMap<&'a str, Vec<&'a Record>>,
    pub followed: HashMap<&'a str, Vec<&'a Record>>,
    pub effects_of_token: HashMap<&'a str, Vec<&'a Effect>>,
    pub effects_of_words: HashMap<&'a str, Vec<&'a Effect>>,
    pub approvals: HashMap<&'a str, &'a Known>,
}

impl<'a> Index<'a> {
    pub fn of(history: &'a History) -> Self {
        let of_kind = |kind: &'static str| history.records.iter().filter(move |record| record.kind == kind);
        let intended = of_kind("decision.intended");
        Self {
            intended: intended.clone().map(|record| (record.seq, record)).collect(),
            intents: group(intended, |record| record.text("summary")),
            accepted: group(of_kind("decision.accepted"), |record| record.text("decision")),
            followed: group(history.records.iter().filter(|it| it.kind.starts_with("decision.")), |record| {
                record.text("decision")
            }),
            effects_of_token: group(history.effects.iter(), |effect| &effect.token),
            effects_of_words: group(history.effects.iter(), |effect| words_of(&effect.summary)),
            approvals: history.approvals.iter().map(|known| (known.id.as_str(), known)).collect(),
        }
    }

    pub fn token_of(&self, record: &Record) -> &str {
        self.approvals.get(record.text("approval")).map_or("", |known| known.token.as_str())
    }

    /// The intent an effect or a send belongs to, by the marker alone.
    pub fn intent_of(&self, summary: &str) -> Option<&'a Record> {
        let marker = Marker::read(summary)?;
        let record = self.intended.get(&marker.seq)?;
        record.hash.starts_with(&marker.hash).then_some(*record)
    }
}

pub fn group<'a, T>(
    items: impl Iterator<Item = &'a T>,
    key: impl Fn(&'a T) -> &'a str,
) -> HashMap<&'a str, Vec<&'a T>> {
    let mut groups: HashMap<&str, Vec<&T>> = HashMap::new();
    items.for_each(|item| groups.entry(key(item)).or_default().push(item));
    groups
}

/// The person's own words of a summary that ends with a marker.
fn words_of(summary: &str) -> &str {
    summary.rsplit_once('[').map_or(summary, |(words, _)| words.trim_end())
}
