//! What the audit schema has to look like. The functions' bodies are taken from the embedded migrations, so there is no
//! second copy to forget. A migration that changes a function or a trigger changes these lists with it.

use crate::database::migrate::MIGRATOR;

/// A trigger that must be there, and always fire.
pub(super) struct Trigger {
    pub(super) table: &'static str,
    pub(super) name: &'static str,
    pub(super) function: &'static str,
    /// `pg_trigger.tgtype`: row 1, before 2, insert 4, delete 8, update 16, truncate 32.
    pub(super) events: i16,
}

const fn trigger(table: &'static str, name: &'static str, function: &'static str, events: i16) -> Trigger {
    Trigger { table, name, function, events }
}

pub(super) const TRIGGERS: &[Trigger] = &[
    trigger("record", "record_stays", "refuse_change", 1 + 2 + 8 + 16),
    trigger("record", "record_stays_whole", "refuse_change", 2 + 32),
    trigger("payload", "payload_stays", "refuse_change", 1 + 2 + 16),
    trigger("payload", "payload_goes_by_redaction", "guard_payload", 1 + 2 + 8),
    trigger("payload", "payload_stays_whole", "refuse_change", 2 + 32),
    trigger("head", "head_advances", "guard_head", 1 + 2 + 4 + 8 + 16),
    trigger("head", "head_stays_whole", "refuse_change", 2 + 32),
];

/// A function that must be there as it was written.
pub(super) struct Function {
    pub(super) name: &'static str,
    /// Whether it runs with the owner's rights.
    pub(super) definer: bool,
}

pub(super) const FUNCTIONS: &[Function] = &[
    Function { name: "append", definer: true },
    Function { name: "redact", definer: false },
    Function { name: "refuse_change", definer: false },
    Function { name: "guard_head", definer: false },
    Function { name: "guard_payload", definer: false },
];

/// The body of `audit.<name>` as the newest migration that defines it has it. Bodies are quoted by `$<name>$`.
pub(super) fn find_body(name: &str) -> Option<&'static str> {
    let quote = format!("${name}$");
    let created = ["create", "create or replace"].map(|verb| format!("{verb} function audit.{name}("));
    let find = |sql: &'static str| created.iter().filter_map(|opening| sql.rfind(opening)).max().map(|at| &sql[at..]);
    let definition = MIGRATOR.iter().rev().find_map(|migration| find(migration.sql.as_str()))?;
    definition.split(quote.as_str()).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_a_body_in_the_migrations() {
        for function in FUNCTIONS {
            let body = find_body(function.name).unwrap_or_else(|| panic!("no body of {}", function.name));
            assert!(body.trim_start().starts_with("begin") || body.trim_start().starts_with("declare"), "{body}");
            assert!(body.trim_end().ends_with("end"), "{body}");
        }
        assert_eq!(find_body("invented"), None);
    }
}
