//! Arrows between modules point down only (docs/ARCHITECTURE.md).

use crate::sources::{Source, list_files, list_sources, read, root};

/// From the outside in. A module may use those of later lines, never one of its own line or above.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["demo"],
    &["web"],
    &["events"],
    &["watcher"],
    &["decisions", "notices", "channels"],
    &["mailed", "push"],
    &["access"],
    &["approvals", "accounts"],
    &["mail"],
    &["audit", "hints"],
    &["store"],
    &["codepipeline", "database", "sso"],
    &["telemetry", "shutdown"],
    &["config"],
    &["domain"],
    &["sealing"],
    &["clock", "random", "supervise", "wire"],
];

/// Stands beside the layers: used by the commands and the demo, uses only these.
const SIMULATOR: (&str, &[&str], &[&str]) = ("simulator", &["cli", "demo"], &["clock", "random"]);

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Whether code in top module `from` may name top module `to`.
fn may_use(from: &str, to: &str) -> Result<bool, String> {
    let (simulator, users, uses) = SIMULATOR;
    let unknown = |module: &str| format!("the module {module} has no place in LAYERS of tests/architecture/arrows.rs");
    if from == simulator {
        return Ok(uses.contains(&to));
    }
    if to == simulator {
        return Ok(users.contains(&from));
    }
    let (Some(above), Some(below)) = (layer(from), layer(to)) else {
        return Err(unknown(if layer(from).is_none() { from } else { to }));
    };
    Ok(above < below)
}

/// The top modules that a file names: `crate::x`, `crate::{x, y::z}`, and `super::` chains that reach the root.
fn named(source: &Source) -> Vec<String> {
    let code = source.code();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        found.extend(first_names(&code[at + "crate::".len()..]));
    }
    let up = "super::".repeat(source.module.len());
    for (at, _) in code.match_indices(&up).filter(|_| !source.module.is_empty()) {
        let rest = &code[at + up.len()..];
        let is_whole_chain = !code[..at].ends_with("super::") && !rest.starts_with("super::");
        if is_whole_chain {
            found.extend(first_names(rest));
        }
    }
    found.retain(|name| name.starts_with(|first: char| first.is_ascii_lowercase()));
    found.sort();
    found.dedup();
    found
}

/// `a::b` gives `a`; `{a::b, c::{d, e}}` gives `a` and `c`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let mut names = Vec::new();
    let mut depth = 0_i32;
    let mut start = 0;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                names.push(name(group[start..at].trim_start()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    names
}

fn broken_arrows(sources: &[Source]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in sources {
        // lib.rs and main.rs are the root: they name everything.
        let Some(from) = source.module.first() else { continue };
        for to in named(source).iter().filter(|to| *to != from) {
            match may_use(from, to) {
                Ok(true) => {}
                Ok(false) => broken.push(format!("{}: {from} must not use {to}", source.path)),
                Err(unknown) => broken.push(format!("{}: {unknown}", source.path)),
            }
        }
    }
    broken.dedup();
    broken
}

#[test]
fn arrows_between_modules_point_down_only() {
    let broken = broken_arrows(&list_sources());
    assert!(broken.is_empty(), "upward arrows:\n{}", broken.join("\n"));
}

#[test]
fn an_upward_arrow_would_be_found_however_it_is_written() {
    let cases = [
        ("src/store/approvals.rs", "use crate::web::AppState;", "store must not use web"),
        (
            "src/store/approvals.rs",
            "use crate::{domain::ids::{A, B}, decisions::Decisions};",
            "store must not use decisions",
        ),
        ("src/audit/mod.rs", "fn f() { super::accounts::f() }", "audit must not use accounts"),
        ("src/audit/verify.rs", "use super::super::accounts;", "audit must not use accounts"),
        ("src/simulator/engine/stop.rs", "use crate::domain::ids::SourceName;", "simulator must not use domain"),
        ("src/web/queue.rs", "use crate::simulator::Simulator;", "web must not use simulator"),
        ("src/accounts/mod.rs", "use crate::approvals::Reader;", "accounts must not use approvals"),
        ("src/web/queue.rs", "use crate::novelty::X;", "the module novelty has no place"),
    ];
    for (path, text, said) in cases {
        let broken = broken_arrows(&[Source::new(path, text)]);
        assert!(broken.len() == 1 && broken[0].contains(said), "{path} {text}: {broken:?}");
    }
}

#[test]
fn what_points_down_or_is_no_code_is_left_alone() {
    let cases = [
        ("src/web/queue.rs", "use crate::{store, domain::{ids, text}, clock::Clock};"),
        ("src/web/queue.rs", "// as crate::cli does\nconst A: &str = \"crate::cli\";"),
        ("src/store/a.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::web::X;\n}\n"),
        ("src/audit/verify/read.rs", "use super::super::accounts;"),
        ("src/demo/mod.rs", "use crate::simulator::Simulator;"),
        ("src/lib.rs", "pub mod cli;"),
    ];
    for (path, text) in cases {
        assert_eq!(broken_arrows(&[Source::new(path, text)]), Vec::<String>::new(), "{path}: {text}");
    }
}

#[test]
fn only_the_gateway_talks_to_the_aws_sdk() {
    for source in list_sources().iter().filter(|source| source.module.first().is_none_or(|top| top != "codepipeline")) {
        let code = source.code();
        for word in ["aws_sdk_", "aws_config", "aws_smithy", "aws_credential"] {
            assert!(!code.contains(word), "{} uses {word}…: that belongs to src/codepipeline", source.path);
        }
    }
}

#[test]
fn sql_from_strings_stays_in_the_database_module() {
    for source in list_sources().iter().filter(|source| source.module.first().is_none_or(|top| top != "database")) {
        assert!(
            !source.code().contains("AssertSqlSafe"),
            "{}: write a checked query, or use QueryBuilder",
            source.path
        );
    }
}

#[test]
fn no_lock_outlives_its_transaction() {
    // H-03: a session's lock vanishes on failover, and leaks or misleads behind a pooler.
    let mut files = list_files(&root().join("src"), "rs");
    files.extend(list_files(&root().join("migrations"), "sql"));
    for file in files {
        let text = read(&file).to_lowercase();
        for lock in ["pg_advisory_lock", "pg_try_advisory_lock", "pg_advisory_unlock"] {
            assert!(!text.contains(lock), "{}: {lock}; take a row lock or pg_advisory_xact_lock", file.display());
        }
    }
}
