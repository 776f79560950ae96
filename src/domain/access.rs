//! Which gates a grant is about: patterns over source, pipeline, stage, action, and a tag of the pipeline. Says whether a
//! gate fits, and never who holds the grant.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;

use globset::{GlobBuilder, GlobMatcher};
use serde::{Deserialize, Serialize};

use super::ids::Gate;
use super::text;

/// What a pipeline is tagged with at AWS, as last read.
pub type Tags = BTreeMap<String, String>;

/// What a grant lets its people do at the gates it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Decide approvals.
    Decide,
    /// Be named as a stand-in by those who decide; without being named it lets nobody do anything.
    StandIn,
}

impl Capability {
    pub const ALL: [Self; 2] = [Self::Decide, Self::StandIn];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Decide => "decide",
            Self::StandIn => "stand_in",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|capability| capability.name() == name)
    }
}

/// What may hold of some gates and not of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionKind {
    /// Whoever has a mail about it decides with the code in it, without signing in (L-02).
    DecideByMail,
    /// What nobody decided in time is rejected at AWS by the portal.
    RejectUnattended,
}

impl OptionKind {
    pub const ALL: [Self; 2] = [Self::DecideByMail, Self::RejectUnattended];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DecideByMail => "decide_by_mail",
            Self::RejectUnattended => "reject_unattended",
        }
    }

    /// How many minutes may be chosen. A mail decides for a day at most. What nobody decides is rejected after five minutes, the
    /// shortest time AWS gives an approval, at the earliest, and after seven days, when AWS fails it unless it was told
    /// otherwise, at the latest.
    #[must_use]
    pub fn minutes(self) -> RangeInclusive<i32> {
        match self {
            Self::DecideByMail => 5..=1440,
            Self::RejectUnattended => 5..=10_080,
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Why a pattern is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct BadPattern {
    /// `source`, `pipeline`, `stage`, `action`, `tag_key` or `tag_value`.
    pub field: &'static str,
    pub problem: String,
}

/// A text in which `*` stands for any characters, also none, and `?` for exactly one. Nothing else is special, and case
/// counts, as it does in the names of AWS.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    matcher: Matcher,
}

/// Most patterns are one name, or any: those cost nothing to make, and pages make many.
#[derive(Clone)]
enum Matcher {
    Any,
    Exactly,
    Glob(GlobMatcher),
}

impl Pattern {
    /// A pattern for names: what names may hold (CodePipeline API Reference, PipelineName), and the wildcards. Empty means
    /// any.
    fn name(field: &'static str, text: &str) -> Result<Self, BadPattern> {
        let text = if text.trim().is_empty() { "*" } else { text.trim() };
        let odd = text.chars().find(|c| !c.is_ascii_alphanumeric() && !".@-_*?".contains(*c));
        match odd {
            _ if text.len() > 200 => Err(bad(field, "A pattern has at most 200 characters.")),
            Some(odd) => Err(bad(
                field,
                format!(
                    "“{}” cannot be in a name: names have letters, digits and . @ - _ only. * stands for any characters, ? for one.",
                    text::visible(&odd.to_string())
                ),
            )),
            None => Ok(Self::compiled(text)),
        }
    }

    fn compiled(text: &str) -> Self {
        let matcher = if text.chars().all(|c| c == '*') {
            Matcher::Any
        } else if text.contains(['*', '?']) {
            Matcher::Glob(glob(text))
        } else {
            Matcher::Exactly
        };
        Self { text: text.to_owned(), matcher }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    #[must_use]
    pub fn fits(&self, name: &str) -> bool {
        match &self.matcher {
            Matcher::Any => true,
            Matcher::Exactly => self.text == name,
            Matcher::Glob(glob) => glob.is_match(name),
        }
    }

    #[must_use]
    pub fn fits_all(&self) -> bool {
        matches!(self.matcher, Matcher::Any)
    }
}

fn glob(text: &str) -> GlobMatcher {
    let mut glob = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            // Two of them mean something about directories to the library, and nothing more than one to people.
            '*' if glob.ends_with('*') => {}
            '*' | '?' => glob.push(c),
            c if c.is_ascii_punctuation() => glob.extend(['\\', c]),
            c => glob.push(c),
        }
    }
    let built = GlobBuilder::new(&glob).literal_separator(false).backslash_escape(true).build();
    built.expect("everything special is escaped").compile_matcher()
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

/// A tag that a pipeline must carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern {
    /// The key, exactly.
    pub key: String,
    pub value: Pattern,
}

/// The gates that something is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatePattern {
    pub source: Pattern,
    pub pipeline: Pattern,
    pub stage: Pattern,
    pub action: Pattern,
    pub tag: Option<TagPattern>,
}

/// A gate pattern as somebody typed it, or as it is stored. An empty field is any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateFields {
    pub source: String,
    pub pipeline: String,
    pub stage: String,
    pub action: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub tag_key: String,
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub tag_value: String,
}

fn bad(field: &'static str, problem: impl Into<String>) -> BadPattern {
    BadPattern { field, problem: problem.into() }
}

impl GatePattern {
    /// Every gate of every source.
    #[must_use]
    pub fn everything() -> Self {
        let any = || Pattern::compiled("*");
        Self { source: any(), pipeline: any(), stage: any(), action: any(), tag: None }
    }

    /// # Errors
    /// The first field that cannot be a pattern, and why.
    pub fn parse(fields: &GateFields) -> Result<Self, BadPattern> {
        Ok(Self {
            source: Pattern::name("source", &fields.source)?,
            pipeline: Pattern::name("pipeline", &fields.pipeline)?,
            stage: Pattern::name("stage", &fields.stage)?,
            action: Pattern::name("action", &fields.action)?,
            tag: parse_tag(&fields.tag_key, &fields.tag_value)?,
        })
    }

    /// As it is stored and typed.
    #[must_use]
    pub fn fields(&self) -> GateFields {
        let (tag_key, tag_value) = match &self.tag {
            Some(tag) => (tag.key.clone(), tag.value.text.clone()),
            None => Default::default(),
        };
        GateFields {
            source: self.source.text.clone(),
            pipeline: self.pipeline.text.clone(),
            stage: self.stage.text.clone(),
            action: self.action.text.clone(),
            tag_key,
            tag_value,
        }
    }

    /// Whether this gate, of a pipeline with these tags, is one of them. Tags that are not known fit no tag pattern:
    /// what cannot be read lets nobody in.
    #[must_use]
    pub fn fits(&self, gate: &Gate, tags: Option<&Tags>) -> bool {
        self.fits_names(gate)
            && self
                .tag
                .as_ref()
                .is_none_or(|tag| tags.and_then(|tags| tags.get(&tag.key)).is_some_and(|value| tag.value.fits(value)))
    }

    /// Whether this gate's names fit, whatever its pipeline is tagged with.
    #[must_use]
    pub fn fits_names(&self, gate: &Gate) -> bool {
        self.source.fits(gate.source.as_str())
            && self.pipeline.fits(gate.pipeline.as_str())
            && self.stage.fits(gate.stage.as_str())
            && self.action.fits(gate.action.as_str())
    }

    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.tag.is_none() && [&self.source, &self.pipeline, &self.stage, &self.action].iter().all(|p| p.fits_all())
    }
}

fn parse_tag(key: &str, value: &str) -> Result<Option<TagPattern>, BadPattern> {
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() && value.is_empty() {
        return Ok(None);
    }
    if key.is_empty() {
        return Err(bad("tag_key", "Give the tag's key too, or leave both empty."));
    }
    // AWS: keys up to 128, values up to 256 characters (Tagging AWS resources).
    if key.chars().count() > 128 {
        return Err(bad("tag_key", "A tag's key has at most 128 characters."));
    }
    if value.chars().count() > 256 {
        return Err(bad("tag_value", "A tag's value has at most 256 characters."));
    }
    for (field, text) in [("tag_key", key), ("tag_value", value)] {
        if text.chars().any(char::is_control) || text::has_deceptive(text) {
            return Err(bad(field, "A tag cannot hold line breaks or characters that cannot be seen."));
        }
    }
    let value = Pattern::compiled(if value.is_empty() { "*" } else { value });
    Ok(Some(TagPattern { key: key.to_owned(), value }))
}

/// In words: `web-* in prod, stage Production, any action; tag team = pay*`. For pages, mails and records.
impl fmt::Display for GatePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everything() {
            return f.write_str("every gate");
        }
        let mut parts = Vec::new();
        for (word, pattern) in
            [("source", &self.source), ("pipeline", &self.pipeline), ("stage", &self.stage), ("action", &self.action)]
        {
            if !pattern.fits_all() {
                parts.push(format!("{word} {}", pattern.text));
            }
        }
        if let Some(tag) = &self.tag {
            let value =
                if tag.value.fits_all() { "with any value".to_owned() } else { format!("= {}", tag.value.text) };
            parts.push(format!("tag {} {value}", tag.key));
        }
        f.write_str(&parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{ActionName, PipelineName, SourceName, StageName};

    fn gate(pipeline: &str, stage: &str) -> Gate {
        Gate {
            source: SourceName::parse("prod").unwrap(),
            pipeline: PipelineName::parse(pipeline).unwrap(),
            stage: StageName::parse(stage).unwrap(),
            action: ActionName::parse("Approve").unwrap(),
        }
    }

    fn pattern(pipeline: &str, stage: &str) -> GatePattern {
        let fields = GateFields { pipeline: pipeline.into(), stage: stage.into(), ..GateFields::default() };
        GatePattern::parse(&fields).unwrap()
    }

    #[test]
    fn a_pattern_fits_whole_names_and_case_counts() {
        let web = pattern("web-*", "");
        assert!(web.fits(&gate("web-shop", "Production"), None));
        assert!(web.fits(&gate("web-", "Production"), None));
        for other in ["my-web-shop", "Web-shop", "web"] {
            assert!(!web.fits(&gate(other, "Production"), None), "{other}");
        }
        let one = pattern("web-?", "Prod*");
        assert!(one.fits(&gate("web-1", "Production"), None));
        assert!(!one.fits(&gate("web-12", "Production"), None) && !one.fits(&gate("web-1", "Staging"), None));
        assert!(GatePattern::everything().fits(&gate("a.b@c-d_9", "x"), None));
        // A dot is a dot.
        assert!(!pattern("a.b", "").fits(&gate("axb", "s"), None));
    }

    #[test]
    fn a_tag_that_is_not_known_fits_nothing() {
        let fields = GateFields { tag_key: "team".into(), tag_value: "pay*".into(), ..GateFields::default() };
        let pay = GatePattern::parse(&fields).unwrap();
        let tags = |value: &str| Tags::from([("team".to_owned(), value.to_owned())]);
        assert!(pay.fits(&gate("x", "y"), Some(&tags("payments"))));
        assert!(!pay.fits(&gate("x", "y"), Some(&tags("shop"))));
        assert!(!pay.fits(&gate("x", "y"), Some(&Tags::new())));
        assert!(!pay.fits(&gate("x", "y"), None));
        assert!(!pay.is_everything());
    }

    #[test]
    fn nothing_in_a_tags_value_is_special_but_the_two_wildcards() {
        for value in ["a[b]c", "a{b,c}", "!a", "a\\b", "a/b", "[!x]", "{", "]", "**/x", "ä ö"] {
            let fields = GateFields { tag_key: "k".into(), tag_value: value.into(), ..GateFields::default() };
            let pattern = GatePattern::parse(&fields).unwrap();
            let literal = Tags::from([("k".to_owned(), value.replace("**", "any"))]);
            assert!(pattern.fits(&gate("x", "y"), Some(&literal)), "{value}");
            assert!(
                !pattern.fits(&gate("x", "y"), Some(&Tags::from([("k".to_owned(), "other".to_owned())]))),
                "{value}"
            );
        }
    }

    #[test]
    fn what_cannot_be_a_name_is_refused_by_field() {
        let refused = |fields: GateFields| GatePattern::parse(&fields).unwrap_err();
        assert_eq!(refused(GateFields { pipeline: "web shop".into(), ..GateFields::default() }).field, "pipeline");
        assert_eq!(refused(GateFields { stage: "{a,b}".into(), ..GateFields::default() }).field, "stage");
        assert_eq!(refused(GateFields { action: "x".repeat(201), ..GateFields::default() }).field, "action");
        assert_eq!(refused(GateFields { tag_value: "v".into(), ..GateFields::default() }).field, "tag_key");
        assert_eq!(refused(GateFields { tag_key: "a\nb".into(), ..GateFields::default() }).field, "tag_key");
    }

    #[test]
    fn a_pattern_reads_back_as_it_was_stored_and_says_itself_in_words() {
        let typed = GateFields { pipeline: " web-* ".into(), tag_key: "team".into(), ..GateFields::default() };
        let parsed = GatePattern::parse(&typed).unwrap();
        assert_eq!(GatePattern::parse(&parsed.fields()).unwrap(), parsed);
        assert_eq!(parsed.to_string(), "pipeline web-*, tag team with any value");
        assert_eq!(GatePattern::everything().to_string(), "every gate");
    }
}
