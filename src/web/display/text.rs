//! Text from outside as a page shows it: made visible, with a word where something is hidden, cut or deceptive; and
//! addresses, which are links only where the one rule allows it (U-01, U-02).

use askama::Template;
use askama::filters::HtmlSafe;

use crate::domain::text::{Clipped, has_deceptive, link, visible};

use super::thousands;

/// A text from outside, in an isolated run of its own, so that it cannot turn the direction of what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "parts/said.html")]
pub struct Said {
    pub text: String,
    /// What a reader should know about the text: that it was cut, or holds characters that deceive. Sentences.
    pub notes: Vec<String>,
}

impl HtmlSafe for Said {}

impl Said {
    #[must_use]
    pub fn whole(text: &str) -> Self {
        Self { text: visible(text), notes: deceptive_note(text).into_iter().collect() }
    }

    #[must_use]
    pub fn clipped(clipped: &Clipped) -> Self {
        let mut said = Self::whole(&clipped.text);
        if let Some(whole) = &clipped.whole {
            said.notes.push(format!(
                "Cut here: {} of {} characters are not shown. SHA-256 of the whole: {}",
                thousands(clipped.hidden()),
                thousands(whole.characters),
                whole.sha256
            ));
        }
        said
    }

    /// The first `lines` lines, at most `characters` long, for a list.
    #[must_use]
    pub fn beginning(clipped: &Clipped, lines: usize, characters: usize) -> Self {
        let mut taken: String = clipped.text.trim().lines().take(lines).collect::<Vec<_>>().join("\n");
        let is_part = clipped.whole.is_some() || taken.len() < clipped.text.trim().len();
        if let Some((at, _)) = taken.char_indices().nth(characters) {
            taken.truncate(at);
        }
        let mut text = visible(taken.trim_end());
        if is_part || taken.chars().count() == characters {
            text.push('…');
        }
        Self { text, notes: deceptive_note(&clipped.text).into_iter().collect() }
    }
}

fn deceptive_note(text: &str) -> Option<String> {
    has_deceptive(text).then(|| {
        "Careful: this text holds characters that cannot be seen or that turn the reading direction. \
         They are shown as ⟨U+…⟩."
            .to_owned()
    })
}

/// An address from outside.
#[derive(Debug, Clone, PartialEq, Eq, Template)]
#[template(path = "parts/address.html")]
pub enum Address {
    Link {
        href: String,
        host: String,
    },
    /// Not a link that may be offered: shown as text.
    Text(Said),
}

impl HtmlSafe for Address {}

impl Address {
    #[must_use]
    pub fn read(clipped: &Clipped) -> Self {
        // A cut address leads somewhere else than the whole one.
        match link(&clipped.text).filter(|_| clipped.whole.is_none()) {
            Some(link) => Self::Link { href: link.href, host: link.host },
            None => Self::Text(Said::clipped(clipped)),
        }
    }
}

/// The first line of a commit message, at most 120 characters of it.
#[must_use]
pub fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    let mut out: String = visible(line).chars().take(120).collect();
    if visible(line).chars().count() > 120 {
        out.push('…');
    }
    out
}

/// A commit or execution id as people quote it: seven digits of a hash, eight of a UUID, else as it is, bounded.
#[must_use]
pub fn short_id(id: &str) -> String {
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    if (id.len() == 40 || id.len() == 64) && is_hex(id) {
        return id[..7].to_owned();
    }
    if id.len() == 36 && id.as_bytes()[8] == b'-' && is_hex(&id[..8]) {
        return id[..8].to_owned();
    }
    let shown = visible(id);
    match shown.char_indices().nth(16) {
        Some((at, _)) => format!("{}…", &shown[..at]),
        None => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_text_and_a_deceptive_one_say_so() {
        let said = Said::clipped(&Clipped::new(&"x".repeat(5000), 100));
        assert!(said.notes[0].starts_with("Cut here: 4,900 of 5,000 characters are not shown. SHA-256"), "{said:?}");
        let said = Said::whole("safe\u{202e}elif.exe");
        assert!(said.text.contains("⟨U+202E⟩") && said.notes[0].starts_with("Careful"), "{said:?}");
        assert!(Said::whole("plain").notes.is_empty());
    }

    #[test]
    fn a_list_shows_the_beginning_and_says_when_there_is_more() {
        let beginning = |text: &str| Said::beginning(&Clipped::new(text, 9000), 2, 20).text;
        assert_eq!(beginning("one\ntwo"), "one\ntwo");
        assert_eq!(beginning("one\ntwo\nthree"), "one\ntwo…");
        assert_eq!(beginning(&"é".repeat(30)), format!("{}…", "é".repeat(20)));
    }

    #[test]
    fn only_whole_http_addresses_are_links() {
        let read = |text: &str, max| Address::read(&Clipped::new(text, max));
        assert!(
            matches!(read("https://ci.example.com/run/1", 900), Address::Link { host, .. } if host == "ci.example.com")
        );
        assert!(matches!(read("javascript:alert(1)", 900), Address::Text(_)));
        assert!(matches!(read("https://ci.example.com/run/1", 20), Address::Text(_)));
    }

    #[test]
    fn ids_are_shortened_as_people_quote_them() {
        assert_eq!(short_id("3f1c0de5a1b2c3d4e5f60718293a4b5c6d7e8f90"), "3f1c0de");
        assert_eq!(short_id("1a2b3c4d-573f-4ea7-a67e-0123456789ab"), "1a2b3c4d");
        assert_eq!(short_id("v1.2.3"), "v1.2.3");
        assert_eq!(short_id("EvilS3VersionIdThatIsLong"), "EvilS3VersionIdT…");
        assert_eq!(first_line("Fix it\n\nLong story"), "Fix it");
    }
}
