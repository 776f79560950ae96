//! What a mail server said, made fit for the database and the log: servers repeat what they were given, and spam filters
//! quote the links they refuse (S-48).

use crate::domain::text::visible;

/// The most characters that are kept.
const MOST: usize = 300;
/// A run of this many characters that secrets are made of is taken for one. Those of our links have 43.
const RUN: usize = 32;

/// `text` on one bounded line, without `secret` and without anything that looks like one.
#[must_use]
pub fn redacted(text: &str, secret: Option<&str>) -> String {
    let text = match secret {
        Some(secret) if !secret.is_empty() => text.replace(secret, "[…]"),
        _ => text.to_owned(),
    };
    let mut out = String::new();
    let mut run = String::new();
    for c in visible(&text).chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if c.is_ascii_alphanumeric() || "+/=_-".contains(c) {
            run.push(c);
        } else {
            close(&mut out, &mut run);
            out.push(c);
        }
    }
    close(&mut out, &mut run);
    out.chars().take(MOST).collect()
}

fn close(out: &mut String, run: &mut String) {
    // A slash divides the parts of an address, of which only one is the secret.
    for (n, piece) in run.split('/').enumerate() {
        if n > 0 {
            out.push('/');
        }
        out.push_str(if piece.len() >= RUN { "[…]" } else { piece });
    }
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_repeats_of_a_link_or_a_password_is_left_out() {
        let code = "q".repeat(43);
        let said = format!("554 5.7.1 refused because of https://portal.example/invite/{code}\r\n(user hunter2 known)");
        let kept = redacted(&said, Some("hunter2"));
        assert_eq!(
            kept,
            "554 5.7.1 refused because of https://portal.example/invite/[…]  (user […] known)".replace("  ", "␍ ")
        );
        assert!(redacted(&"x y ".repeat(1000), None).chars().count() <= MOST);
        assert!(!redacted("\u{1b}[31m\u{202e}", None).contains('\u{202e}'));
    }
}
