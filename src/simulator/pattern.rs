//! The few regular expressions the service model uses: character classes, dots and literals, each once, repeated by
//! `+` or `*`, or `{n}` times. The whole text must match. No alternatives, no groups: none is needed.

use serde::{Deserialize, Deserializer};

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    source: String,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    allowed: Allowed,
    least: usize,
    most: usize,
}

#[derive(Debug)]
enum Allowed {
    AnythingButNewline,
    Ranges(Vec<(char, char)>),
}

impl Pattern {
    /// Compiles `source`; `None` when it uses more than this module knows.
    pub fn parse(source: &str) -> Option<Self> {
        let mut rest = source.strip_prefix('^').unwrap_or(source);
        rest = rest.strip_suffix('$').unwrap_or(rest);
        let mut chars = rest.chars().peekable();
        let mut pieces = Vec::new();
        while let Some(first) = chars.next() {
            let allowed = match first {
                '[' => class(&mut chars)?,
                '.' => Allowed::AnythingButNewline,
                '(' | ')' | '|' | '\\' => return None,
                literal => Allowed::Ranges(vec![(literal, literal)]),
            };
            let (least, most) = match chars.peek() {
                Some('+') => (1, usize::MAX),
                Some('*') => (0, usize::MAX),
                Some('{') => {
                    let count: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    let count = count.parse().ok()?;
                    pieces.push(Piece { allowed, least: count, most: count });
                    continue;
                }
                _ => (1, 1),
            };
            if least != most {
                chars.next();
            }
            pieces.push(Piece { allowed, least, most });
        }
        Some(Self { source: source.to_owned(), pieces })
    }

    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// Whether the whole of `text` matches. Greedy without going back: the model's classes never overlap.
    pub fn matches(&self, text: &str) -> bool {
        let mut chars = text.chars().peekable();
        for piece in &self.pieces {
            let mut count = 0;
            while count < piece.most && chars.next_if(|c| piece.allowed.contains(*c)).is_some() {
                count += 1;
            }
            if count < piece.least {
                return false;
            }
        }
        chars.next().is_none()
    }
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Allowed> {
    let mut ranges = Vec::new();
    loop {
        let first = match chars.next()? {
            ']' => return Some(Allowed::Ranges(ranges)),
            '\\' => chars.next()?,
            plain => plain,
        };
        let mut ahead = chars.clone();
        let range = ahead.next() == Some('-') && ahead.next().is_some_and(|end| end != ']');
        let last = if range { chars.nth(1)? } else { first };
        ranges.push((first, last));
    }
}

impl Allowed {
    fn contains(&self, c: char) -> bool {
        match self {
            Self::AnythingButNewline => c != '\n',
            Self::Ranges(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)),
        }
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let source = String::deserialize(deserializer)?;
        Self::parse(&source).ok_or_else(|| serde::de::Error::custom(format!("unsupported pattern {source}")))
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn the_models_patterns_accept_and_refuse_what_they_should() {
        let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}";
        for (pattern, good, bad) in [
            (r"[A-Za-z0-9.@\-_]+", vec!["a", "A-b_c.d@9"], vec!["", "a b", "a/b", "é", "a\n"]),
            (uuid, vec!["12345678-abcd-1234-0000-123456789abc"], vec!["12345678-ABCD-1234-0000-123456789abc", "1", ""]),
            ("^[a-zA-Z0-9-]+$", vec!["a-1"], vec!["a_1", ""]),
            (r"[a-zA-Z0-9!@ \(\)\.\*\?\-]+", vec!["Wait (for) it. *?!-"], vec!["a,b", "it's", "a:b"]),
            (".*", vec!["", "anything"], vec!["two\nlines"]),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            good.iter().for_each(|text| assert!(pattern.matches(text), "{text:?} {pattern:?}"));
            bad.iter().for_each(|text| assert!(!pattern.matches(text), "{text:?} {pattern:?}"));
        }
        assert!(Pattern::parse("(a|b)").is_none());
    }
}
