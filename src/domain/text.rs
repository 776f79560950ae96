//! Text from outside, made safe to keep and to show: bounded, without NUL, with dangerous characters made visible; and
//! the one rule for what may become a link. Escaping for HTML is the templates' work, not this module's.

use serde::{Deserialize, Serialize};
use url::Url;

use super::ids::sha256;

/// A text from outside, cut where it was too long to keep, saying so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clipped {
    pub text: String,
    /// Set when something was cut: how many characters the whole had, and its SHA-256 in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub whole: Option<Whole>,
}

/// What a cut text was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    pub characters: u64,
    pub sha256: String,
}

impl Clipped {
    /// Keeps as much of `text` as needs no more than `max` bytes once written as a JSON string, so that a record's
    /// size is bounded whatever the text holds. NUL, which Postgres cannot keep, becomes U+2400.
    #[must_use]
    pub fn new(text: &str, max: usize) -> Self {
        let clean = text.replace('\0', "\u{2400}");
        let mut used = 0;
        let end = clean
            .char_indices()
            .find(|(_, c)| {
                used += json_length(*c);
                used > max
            })
            .map(|(at, _)| at);
        match end {
            None => Self { text: clean, whole: None },
            Some(at) => Self {
                text: clean[..at].to_owned(),
                whole: Some(Whole {
                    characters: text.chars().count() as u64,
                    sha256: hex::encode(sha256(text.as_bytes())),
                }),
            },
        }
    }

    /// How many characters are not shown.
    #[must_use]
    pub fn hidden(&self) -> u64 {
        self.whole.as_ref().map_or(0, |w| w.characters.saturating_sub(self.text.chars().count() as u64))
    }
}

/// How many bytes a character takes inside a JSON string as serde_json writes it.
fn json_length(c: char) -> usize {
    match c {
        '"' | '\\' | '\n' | '\r' | '\t' | '\u{8}' | '\u{c}' => 2,
        c if (c as u32) < 0x20 => 6,
        c => c.len_utf8(),
    }
}

/// Shows control characters as pictures and invisible or direction-changing ones as their code point, so that what a
/// person reads is what is there (Unicode TR36; "Trojan Source", CVE-2021-42574). Line breaks and tabs stay.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut combining = 0;
    for c in text.chars() {
        if unicode_normalization::char::is_combining_mark(c) {
            combining += 1;
            // A letter with more marks than any language uses is an attack on the lines above and below it.
            if combining > 4 {
                continue;
            }
        } else {
            combining = 0;
        }
        match c {
            '\n' | '\t' => out.push(c),
            '\u{0}'..='\u{1f}' => out.push(char::from_u32(0x2400 + c as u32).unwrap_or('\u{fffd}')),
            '\u{7f}' => out.push('\u{2421}'),
            c if is_deceptive(c) => out.push_str(&format!("⟨U+{:04X}⟩", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// The same on one line of at most so many characters; one that is cut ends with `…`.
#[must_use]
pub fn one_line(text: &str, most: usize) -> String {
    let line: String = visible(text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= most {
        return line;
    }
    line.chars().take(most - 1).chain(['…']).collect()
}

/// Whether the text holds characters that change direction or cannot be seen.
#[must_use]
pub fn has_deceptive(text: &str) -> bool {
    text.chars().any(is_deceptive)
}

fn is_deceptive(c: char) -> bool {
    matches!(c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
        | '\u{200b}'..='\u{200c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A link that may be offered: http or https, with a host, without user information.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The whole address, as the URL standard writes it.
    pub href: String,
    /// The host, in its ASCII form, to be shown beside the link.
    pub host: String,
}

/// Decides whether a text from outside may become a link. Everything else is shown as text.
#[must_use]
pub fn link(text: &str) -> Option<Link> {
    // The URL standard strips leading controls and reads backslashes as slashes; a person would not expect either.
    if text.len() > 2048 || text.chars().any(|c| c.is_control() || c.is_whitespace() || c == '\\' || is_deceptive(c)) {
        return None;
    }
    let lower = text.to_ascii_lowercase();
    if !(lower.starts_with("http://") || lower.starts_with("https://")) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
    if !url.username().is_empty() || url.password().is_some() || text.split(['/', '?', '#']).nth(2)?.contains('@') {
        return None;
    }
    Some(Link { href: url.into(), host })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_links_become_links() {
        let hostile = [
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "file:///etc/passwd",
            "//evil.example",
            " https://x.example",
            "\u{1}https://x.example",
            "https://user@evil.example",
            "https://user:pw@evil.example",
            "https://@evil.example",
            "https:\\\\evil.example",
            "https://",
            "http:evil",
            "https://ex\u{202e}ample.com",
            "",
            "#",
            "mailto:a@b.c",
        ];
        for text in hostile {
            assert_eq!(link(text), None, "{text:?}");
        }
        let ok = link("https://exämple.com:8443/a?b=c@d#e").unwrap();
        assert_eq!(ok.host, "xn--exmple-cua.com");
        assert!(ok.href.starts_with("https://xn--exmple-cua.com:8443/a?b=c@d"));
    }

    #[test]
    fn what_cannot_be_seen_is_shown() {
        assert_eq!(visible("a\u{202e}b\u{0}\u{1b}\u{200b}\nc"), "a⟨U+202E⟩b␀␛⟨U+200B⟩\nc");
        assert_eq!(visible(&format!("e{}x", "\u{301}".repeat(50))).chars().count(), 6);
        assert!(has_deceptive("a\u{2066}"));
        assert!(!has_deceptive("naïve 👩‍💻 日本"));
    }

    #[test]
    fn a_cut_text_says_what_the_whole_was() {
        let whole = "é\"\u{1}".repeat(1000);
        let clipped = Clipped::new(&whole, 100);
        assert!(serde_json::to_string(&clipped.text).unwrap().len() <= 102);
        assert_eq!(clipped.hidden(), 3000 - clipped.text.chars().count() as u64);
        assert_eq!(clipped.whole.unwrap().sha256, hex::encode(sha256(whole.as_bytes())));
        assert_eq!(Clipped::new("a\0b", 100).text, "a\u{2400}b");
    }
}
