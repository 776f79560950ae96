//! What a person is told when the demo cannot start.

use std::fs;

use crate::harness::{Demo, directory, refusal, taken_port};

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let directory = directory();
    let (_held, address) = taken_port();
    let said = refusal(directory.path(), &["--listen", &address]);
    assert!(said.contains(&format!("{address} is taken by another program")), "{said}");
    assert!(said.contains("--listen"), "{said}");
}

#[test]
fn an_address_that_others_can_reach_is_refused() {
    let said = refusal(directory().path(), &["--listen", "0.0.0.0:0"]);
    assert!(said.contains("this machine only") && said.contains("127.0.0.1"), "{said}");
}

#[test]
fn a_directory_that_cannot_be_written_is_named_with_a_way_out() {
    let directory = directory();
    fs::write(directory.path().join("file"), "in the way").unwrap();
    let said = refusal(&directory.path().join("file/demo"), &["--listen", "127.0.0.1:0"]);
    assert!(said.contains("file/demo") && said.contains("--data-dir"), "{said}");
    assert!(!said.contains("COUNTERSIGN_DATA_DIR"), "{said}");
}

#[test]
fn a_directory_with_something_else_in_it_is_left_alone() {
    let directory = directory();
    fs::write(directory.path().join("thesis.txt"), "years of work").unwrap();
    let said = refusal(directory.path(), &["--reset", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("no demo"), "{said}");
    assert_eq!(fs::read_to_string(directory.path().join("thesis.txt")).unwrap(), "years of work");
}

#[test]
fn a_second_demo_in_one_directory_is_told_who_has_it() {
    let directory = directory();
    let first = Demo::start(directory.path(), &[]);
    let said = refusal(directory.path(), &["--reset", "--listen", "127.0.0.1:0"]);
    assert!(said.contains("another demo (process ") && said.contains("--data-dir"), "{said}");
    assert!(first.interrupt());
}

#[test]
fn a_port_of_review_pages_that_is_taken_later_is_named_with_a_way_out() {
    let directory = directory();
    assert!(Demo::start(directory.path(), &[]).interrupt());
    let memory = fs::read_to_string(directory.path().join("demo.toml")).unwrap();
    let (_held, address) = taken_port();
    let port = address.rsplit(':').next().unwrap();
    let kept = memory.lines().find(|line| line.starts_with("reviews_port")).unwrap();
    fs::write(directory.path().join("demo.toml"), memory.replace(kept, &format!("reviews_port = {port}"))).unwrap();
    let said = refusal(directory.path(), &["--listen", "127.0.0.1:0"]);
    assert!(said.contains(&address) && said.contains("--reset"), "{said}");
}
