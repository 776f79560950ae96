//! What the forms that name gates have alike: the fields of a pattern, a note, and what the pattern fits now.
//!
//! Not the structs that are read from a request: each lists all its fields, because only so is a field that is no part of
//! the form refused (S-34).

use crate::access::grants::Mistakes;
use crate::access::picture::Picture;
use crate::domain::access::{GateFields, GatePattern};
use crate::domain::ids::Gate;
use crate::domain::text::visible;
use crate::web::display::count;
use crate::web::parts::Field;

/// So many gates are named before anything is done about them.
const NAMED: usize = 20;

/// Fields that are sent along without being shown.
pub type Hidden = Vec<(&'static str, String)>;

/// The fields of a pattern, each with what is wrong with it: those of names, and those of a tag.
#[must_use]
pub fn fields(typed: &GateFields, mistakes: &Mistakes) -> (Vec<Field>, Vec<Field>) {
    let field = |name, label, value: &str, hint: &str| {
        let field = Field::text(name, label).optional().value(visible(value)).error(mistakes.at(name));
        if hint.is_empty() { field } else { field.hint(hint) }
    };
    let names = vec![
        field("source", "Source", &typed.source, "Empty is any. * stands for any characters, ? for one."),
        field("pipeline", "Pipeline", &typed.pipeline, "Such as shop-*"),
        field("stage", "Stage", &typed.stage, "Such as Production"),
        field("action", "Gate", &typed.action, "The approval action's name"),
    ];
    let tags = vec![
        field("tag_key", "Tag", &typed.tag_key, "A tag the pipeline must carry, exactly as AWS writes it"),
        field("tag_value", "Value", &typed.tag_value, "Empty is any value; * and ? as above"),
    ];
    (names, tags)
}

/// The field of the note.
#[must_use]
pub fn note(typed: &str, mistakes: &Mistakes) -> Field {
    Field::text("note", "Note").optional().value(visible(typed)).error(mistakes.at("note"))
}

/// The pattern and the note as they were typed, for the form that does what was looked at.
#[must_use]
pub fn hidden(gates: GateFields, note: &str) -> Hidden {
    vec![
        ("source", gates.source),
        ("pipeline", gates.pipeline),
        ("stage", gates.stage),
        ("action", gates.action),
        ("tag_key", gates.tag_key),
        ("tag_value", gates.tag_value),
        ("note", note.to_owned()),
    ]
}

/// What a pattern fits now, and the form that goes on with it.
#[derive(Debug, Clone)]
pub struct Preview {
    /// `Payments may decide pipeline shop-*.`
    pub sentence: String,
    pub fits: String,
    pub gates: Vec<String>,
    pub more: Option<String>,
    /// Tags are read only once something is about them.
    pub about_tags: bool,
    /// Whoever gives it gives it to themselves, and every admin will see that.
    pub is_own: bool,
    /// What that form sends.
    pub hidden: Hidden,
}

impl Preview {
    #[must_use]
    pub fn of(sentence: String, gates: &GatePattern, picture: &Picture, hidden: Hidden) -> Self {
        let fitting = picture.fitting(gates);
        let line =
            |gate: &&Gate| visible(&format!("{} › {} › {} › {}", gate.source, gate.pipeline, gate.stage, gate.action));
        let more = fitting.len().saturating_sub(NAMED) as u64;
        Self {
            sentence,
            fits: count(fitting.len() as u64, "gate", "gates"),
            gates: fitting.iter().take(NAMED).map(line).collect(),
            more: (more > 0).then(|| format!("and {}", count(more, "more gate", "more gates"))),
            about_tags: gates.tag.is_some(),
            is_own: false,
            hidden,
        }
    }
}
