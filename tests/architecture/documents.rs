//! The documents name what exists: every key and variable is written down, every example loads, every link leads somewhere.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use countersign::config::{Config, Environment};

use crate::sources::{list_files, read, root};

/// The environment variables the program knows, as it lists them itself.
fn variables() -> Vec<String> {
    let environment: Environment = [("COUNTERSIGN_NO_SUCH_THING", "x")].into_iter().collect();
    let error = Config::load(None, &environment).unwrap_err().to_string();
    let (_, names) = error.split_once("known are ").expect("the error lists the known names");
    names.split(", ").map(str::to_owned).collect()
}

#[test]
fn every_environment_variable_is_documented() {
    let readme = read(&root().join("README.md"));
    let example = read(&root().join("deploy/countersign.toml"));
    let names = variables();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(readme.contains(&format!("`{name}`")), "README.md does not mention {name}");
        assert!(example.contains(&name), "deploy/countersign.toml does not mention {name}");
    }
}

#[test]
fn the_example_configuration_loads_as_it_is_and_with_every_key_in_use() {
    let example = read(&root().join("deploy/countersign.toml"));
    // A key that is commented out has no space behind the sign; a comment has.
    let in_use: Vec<_> = example
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => key,
            _ => line,
        })
        .collect();
    for text in [example.clone(), in_use.join("\n")] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(file.path(), &text).unwrap();
        if let Err(error) = Config::load(Some(file.path()), &Environment::default()) {
            panic!("{error}\n{text}");
        }
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = list_files(&root().join("docs"), "md");
    documents.extend(
        std::fs::read_dir(root())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    assert!(documents.len() > 10);
    for document in documents {
        let text = read(&document);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(path.exists(), "{}: the link {link} leads nowhere", document.display());
        }
    }
}

#[test]
fn tests_and_scripts_that_documents_name_exist() {
    let mut named = 0;
    for document in ["README.md", "CONTRIBUTING.md", "docs/ARCHITECTURE.md", "docs/OPERATIONS.md", "SECURITY.md"] {
        let text = read(&root().join(document));
        for quoted in text.split('`').skip(1).step_by(2) {
            let path = quoted.split_whitespace().next().unwrap_or_default();
            if path.starts_with("tests/") || path.starts_with("script/") || path.starts_with("src/") {
                assert!(root().join(path).exists(), "{document} names {path}, which does not exist");
                named += 1;
            }
        }
    }
    assert!(named > 10, "only {named} were found");
}

/// A fault that is said to be survived names its story: one that was renamed or removed would leave the claim without proof.
#[test]
fn stories_that_tell_of_a_fault_exist_under_the_names_that_documents_give_them() {
    let code: String = ["tests", "src"]
        .iter()
        .flat_map(|folder| list_files(&root().join(folder), "rs"))
        .map(|file| read(&file))
        .collect();
    let mut named = 0;
    for document in list_files(&root().join("docs"), "md") {
        for quoted in read(&document).split('`') {
            let is_story =
                quoted.matches('_').count() >= 4 && quoted.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
            if is_story && !quoted.starts_with("COUNTERSIGN_") {
                assert!(code.contains(&format!("fn {quoted}(")), "{}: there is no {quoted}", document.display());
                named += 1;
            }
        }
    }
    assert!(named > 20, "{named}");
}

#[test]
fn every_documented_command_explains_itself() {
    let readme = read(&root().join("README.md"));
    let (_, commands) = readme.split_once("## Commands\n\n").expect("the README lists the commands");
    let commands = commands.split("\n`--help`").next().unwrap();
    let mut seen = 0;
    for command in commands.split('`').skip(1).step_by(2) {
        let (group, verbs) = command.split_once(' ').unwrap_or((command, ""));
        for verb in verbs.split('|') {
            let mut help = Command::new(env!("CARGO_BIN_EXE_countersign"));
            help.arg(group).args((!verb.is_empty()).then_some(verb)).arg("--help");
            let output = help.output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success(), "countersign {group} {verb} --help: {output:?}");
            assert!(said.contains("Example"), "countersign {group} {verb} --help has no example:\n{said}");
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} commands were found in the README");
}
