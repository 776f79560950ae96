//! What people did and what they were told, kept while a story goes on.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::person::Told;

/// One form that was filled in, by what was written into it.
#[derive(Debug, Clone)]
pub struct Deed {
    /// Unlike any other deed's: by these words it is found in records and at AWS.
    pub words: String,
    pub person: String,
    pub approval: String,
    pub verdict: &'static str,
    /// Of what the page showed.
    pub fingerprint: String,
    /// How often the form was sent.
    pub sent: usize,
    /// Everything the person was told, in order.
    pub told: Vec<Told>,
    /// Where the portal sent them for the result.
    pub result: Option<String>,
}

#[derive(Debug, Default)]
pub struct Deeds(Mutex<BTreeMap<String, Deed>>);

impl Deeds {
    /// Notes a form about to be sent, and gives its words.
    pub fn begin(&self, person: &str, approval: &str, verdict: &'static str, fingerprint: &str) -> String {
        let mut deeds = self.0.lock().unwrap();
        let words = format!("deed {:06}", deeds.len() + 1);
        let deed = Deed {
            words: words.clone(),
            person: person.to_owned(),
            approval: approval.to_owned(),
            verdict,
            fingerprint: fingerprint.to_owned(),
            sent: 0,
            told: Vec::new(),
            result: None,
        };
        deeds.insert(words.clone(), deed);
        words
    }

    pub fn sent(&self, words: &str) {
        self.with(words, |deed| deed.sent += 1);
    }

    pub fn told(&self, words: &str, told: Told) {
        self.with(words, |deed| deed.told.push(told));
    }

    pub fn led_to(&self, words: &str, result: &str) {
        self.with(words, |deed| deed.result = Some(result.to_owned()));
    }

    pub fn all(&self) -> Vec<Deed> {
        self.0.lock().unwrap().values().cloned().collect()
    }

    fn with(&self, words: &str, change: impl FnOnce(&mut Deed)) {
        change(self.0.lock().unwrap().get_mut(words).expect("a deed is begun before anything is told of it"));
    }
}
