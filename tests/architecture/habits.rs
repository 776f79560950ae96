//! Habits that reviews would otherwise have to ask for again and again.

use crate::sources::list_sources;

/// Lines of a file before its tests. The aim is 300.
const LONGEST: usize = 400;

/// Files that may be longer, and why.
const LONGER: &[(&str, &str)] =
    &[("src/store/approvals.rs", "one table with many columns: most lines are its two statements and their rows")];

#[test]
fn files_stay_short_enough_to_be_read() {
    let mut wrong = Vec::new();
    for source in list_sources() {
        let lines = source.without_tests().lines().count();
        let excused = LONGER.iter().any(|(path, reason)| *path == source.path && !reason.is_empty());
        match (lines > LONGEST, excused) {
            (true, false) => wrong.push(format!("{} has {lines}: divide it, or list it with a reason", source.path)),
            (false, true) => wrong.push(format!("{} is short enough now: take it off the list", source.path)),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "at most {LONGEST} lines before a file's tests:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_says_what_it_owns() {
    for source in list_sources() {
        assert!(source.text.starts_with("//! "), "{} does not begin with //!", source.path);
    }
}

#[test]
fn names_say_what_a_thing_does() {
    for source in list_sources() {
        for part in &source.module {
            assert!(
                !["util", "utils", "helper", "helpers", "manager", "misc"].contains(&part.as_str()),
                "{}: name it for what it does",
                source.path
            );
        }
        assert!(!source.code().contains("fn get_"), "{}: find_x, load_x or list_x, not get_x", source.path);
    }
}
