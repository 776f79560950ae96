//! Results as a Markdown table, the form in which `docs/PERFORMANCE.md` keeps them.

/// Rows under a heading.
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(ToString::to_string).collect(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: &[String]) {
        assert_eq!(cells.len(), self.columns.len(), "{cells:?}");
        self.rows.push(cells.to_vec());
    }

    pub fn print(&self) {
        println!("{}", line(&self.columns));
        println!("|{}", "---|".repeat(self.columns.len()));
        for row in &self.rows {
            println!("{}", line(row));
        }
        println!();
    }
}

fn line(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// What a part measures and under which circumstances, above its table.
pub fn heading(title: &str, circumstances: &str) {
    println!("### {title}\n\n{circumstances}\n");
}

/// The middle of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    assert!(!figures.is_empty(), "there is something to take the middle of");
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev profile: not for quoting" } else { "release profile" }
}

pub fn is_quick() -> bool {
    has_flag("quick")
}

/// Whether `--name` was given.
pub fn has_flag(name: &str) -> bool {
    std::env::args().any(|argument| argument.strip_prefix("--") == Some(name))
}

/// The value of `--name=VALUE`.
pub fn find_option(name: &str) -> Option<String> {
    std::env::args().find_map(|argument| Some(argument.strip_prefix(&format!("--{name}="))?.to_owned()))
}
