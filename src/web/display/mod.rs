//! How values from AWS read on a page: texts, addresses, callers, ids, time left. Each is a piece with its own small
//! template, decided before a page's template sees it. Nothing here reads a clock (the moment of the page is handed in)
//! or queries, and escaping is left to the templates.

mod caller;
mod text;
mod time;

pub use caller::{Caller, Started, TriggerRead};
pub use text::{Address, Said, first_line, short_id};
pub use time::{TimeLeft, Urgency, span};

use super::parts::{Chip, Tone};
use crate::domain::decision::Verdict;
use crate::domain::text::visible;

/// `1 approval`, `2 approvals`, `1,205 approvals`.
#[must_use]
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

/// A number with a comma between thousands.
#[must_use]
pub fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// The chip of a verdict.
#[must_use]
pub fn verdict_chip(verdict: Verdict) -> Chip {
    match verdict {
        Verdict::Approved => Chip::new(Tone::Good, "Approved"),
        Verdict::Rejected => Chip::new(Tone::Bad, "Rejected"),
    }
}

/// The chip of a stage's or an action's status. One that AWS invents later is shown as AWS writes it.
#[must_use]
pub fn run_status_chip(status: &str) -> Chip {
    match status {
        "" => Chip::new(Tone::Over, "Not reached"),
        "Succeeded" => Chip::new(Tone::Good, "Succeeded"),
        "InProgress" => Chip::new(Tone::Waiting, "In progress"),
        "Failed" => Chip::new(Tone::Bad, "Failed"),
        "Stopping" => Chip::new(Tone::Moving, "Stopping"),
        other => Chip::new(Tone::Over, visible(other)),
    }
}

/// Fails when hostile sample text came out as markup, or as characters that deceive.
#[cfg(test)]
#[track_caller]
pub fn assert_inert(name: &str, html: &str) {
    for raw in ["<img", "<script>", "onerror=alert(1)>\"", "href=\"javascript", "\u{202e}", "\u{0}", "\u{1b}"] {
        assert!(!html.contains(raw), "sample {name} lets {raw:?} through");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_a_person_would_write_them() {
        assert_eq!(count(1, "approval", "approvals"), "1 approval");
        assert_eq!(count(0, "approval", "approvals"), "0 approvals");
        assert_eq!(count(1_205, "approval", "approvals"), "1,205 approvals");
        assert_eq!(thousands(12_345_678), "12,345,678");
    }
}
