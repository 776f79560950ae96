//! How values read on a page: moments, time left, callers, text from outside, standings. Owns the words and the shapes
//! that templates print; everything here is decided before a template sees it. It never reads a clock (the moment of the
//! page is handed in), never queries, and never makes HTML: escaping is the templates' work.

mod caller;
mod standing;
mod text;
mod time;

pub use caller::Caller;
pub use standing::{Chip, Tone, of_run_status, of_standing, of_state, of_verdict};
pub use text::{Address, Said, first_line, short_id};
pub use time::{Moment, TimeLeft, Urgency, span};

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
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
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
