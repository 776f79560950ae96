//! Who may decide what, and how: groups, grants, gates that ask for proof, options of gates, stand-ins, and the tags of pipelines that some of these
//! are about. Rows here are ended, never changed or deleted, so that any past moment can be asked about.

pub mod escalations;
pub mod grants;
pub mod groups;
pub mod marks;
pub mod notices;
pub mod options;
pub mod past;
pub mod rights;
pub mod stand_ins;
pub mod tags;

use uuid::Uuid;

use super::Inconsistent;
use crate::domain::access::{GateFields, GatePattern};
use crate::domain::ids::Gate;

/// The columns that hold a pattern of gates.
pub(super) struct Columns {
    pub source: String,
    pub pipeline: String,
    pub stage: String,
    pub action: String,
    pub tag_key: Option<String>,
    pub tag_value: Option<String>,
}

/// Those of a row, by the names they have everywhere. A macro, because every query has a type of row of its own.
macro_rules! columns {
    ($row:ident) => {
        $crate::store::access::Columns {
            source: $row.source,
            pipeline: $row.pipeline,
            stage: $row.stage,
            action: $row.action,
            tag_key: $row.tag_key,
            tag_value: $row.tag_value,
        }
    };
}
pub(super) use columns;

impl Columns {
    pub(super) fn pattern(self, table: &'static str, row: Uuid) -> Result<GatePattern, Inconsistent> {
        let fields = GateFields {
            source: self.source,
            pipeline: self.pipeline,
            stage: self.stage,
            action: self.action,
            tag_key: self.tag_key.unwrap_or_default(),
            tag_value: self.tag_value.unwrap_or_default(),
        };
        GatePattern::parse(&fields).map_err(|bad| Inconsistent {
            table,
            row: row.to_string(),
            problem: format!("{}: {}", bad.field, bad.problem),
        })
    }
}

/// A gate from its four columns.
pub(super) fn gate(
    table: &'static str,
    (source, pipeline): (String, String),
    (stage, action): (String, String),
) -> Result<Gate, Inconsistent> {
    let row = format!("{source}/{pipeline}/{stage}/{action}");
    Gate::parse([source, pipeline, stage, action]).map_err(|bad| Inconsistent { table, row, problem: bad.to_string() })
}
