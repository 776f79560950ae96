//! Reads the crate's own files: their module paths, and their code without comments, literals and tests.

use std::path::{Path, PathBuf};

/// One file under `src/`.
pub struct Source {
    /// Relative to the crate, for messages.
    pub path: String,
    /// `["web", "session", "sign_in"]`; empty for `lib.rs` and `main.rs`.
    pub module: Vec<String>,
    pub text: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let mut module: Vec<_> =
            path.trim_start_matches("src/").trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        Self { path: path.to_owned(), module, text: text.to_owned() }
    }

    /// The lines before the file's tests.
    pub fn without_tests(&self) -> &str {
        let is_tests_only = self.module.last().is_some_and(|name| name == "tests" || name.ends_with("_tests"));
        if is_tests_only {
            return "";
        }
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// What is left for the compiler: no tests, no comments, nothing inside string literals.
    pub fn code(&self) -> String {
        let mut code = String::new();
        for line in self.without_tests().lines() {
            let mut in_text = false;
            let mut before = ' ';
            let mut rest = line.chars().peekable();
            while let Some(c) = rest.next() {
                if !in_text && c == '/' && rest.peek() == Some(&'/') {
                    break;
                }
                if c == '"' && before != '\\' && before != '\'' {
                    in_text = !in_text;
                } else if !in_text {
                    code.push(c);
                }
                before = if before == '\\' && c == '\\' { ' ' } else { c };
            }
            code.push('\n');
        }
        code
    }
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file under `src/`, in order of path.
pub fn list_sources() -> Vec<Source> {
    let sources: Vec<_> = list_files(&root().join("src"), "rs")
        .iter()
        .map(|file| {
            let path = file.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            Source::new(&path, &read(file))
        })
        .collect();
    assert!(sources.len() > 20, "src/ was not found");
    sources
}

pub fn list_files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

pub fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
