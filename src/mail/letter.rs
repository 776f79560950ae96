//! What a mail says, as text and as HTML of the same words. Everything that comes from outside is put on one line, with
//! what cannot be seen made visible; the HTML part is escaped by its template (L-10).

use askama::Template;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::text::one_line;

/// The longest subject, in characters.
const SUBJECT: usize = 200;
/// The longest sentence or fact.
const LINE: usize = 1000;
/// The longest of what is said about one of many.
const ITEM_LINE: usize = 300;
/// Within a longer run without a space, HTML may be broken after so many characters.
const UNBROKEN: usize = 24;
/// How long somebody cares about what a letter tells, unless it says otherwise.
const SERVES: SignedDuration = SignedDuration::from_hours(72);

/// A letter to somebody. What is said before the facts, the facts, one link, what is said after it.
#[derive(Debug, Clone)]
pub struct Letter {
    kind: &'static str,
    subject: String,
    opening: Vec<String>,
    facts: Vec<(&'static str, String)>,
    link: Option<Link>,
    closing: Vec<String>,
    sections: Vec<Section>,
    serves: SignedDuration,
    rank: Rank,
    choices: Option<String>,
}

/// How a letter stands to others that wait. What is about accounts goes first, though never all of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rank {
    Account,
    /// A notice that does not bear waiting.
    Urgent,
    Notice,
}

impl Rank {
    pub(super) fn number(self) -> i16 {
        match self {
            Self::Account => 0,
            Self::Urgent => 1,
            Self::Notice => 2,
        }
    }
}

/// Some of many things that one letter tells of.
#[derive(Debug, Clone)]
struct Section {
    heading: String,
    items: Vec<Item>,
    /// What is said where there are more of them than are shown.
    more: Option<String>,
}

#[derive(Debug, Clone)]
struct Item {
    title: String,
    lines: Vec<String>,
    address: String,
}

#[derive(Debug, Clone)]
struct Link {
    label: &'static str,
    address: String,
}

/// A letter as it is kept: what goes into the mail.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
    /// Where whoever gets it chooses what they get; absent where there is nothing to choose.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) choices: Option<String>,
}

#[derive(Template)]
#[template(path = "mail/letter.txt")]
struct Text<'a> {
    letter: &'a Letter,
    from: &'a str,
}

#[derive(Template)]
#[template(path = "mail/letter.html")]
struct Html<'a> {
    letter: &'a Letter,
    from: &'a str,
}

impl Letter {
    /// `kind` is for the log and for whoever looks after the outbox: a stable word.
    #[must_use]
    pub fn new(kind: &'static str, subject: &str) -> Self {
        let (opening, closing, facts, sections) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (serves, rank) = (SERVES, Rank::Account);
        // What looks like an encoded word would be decoded by whoever shows it.
        let subject = one_line(&subject.replace("=?", "= ?"), SUBJECT);
        Self { kind, subject, opening, facts, link: None, closing, sections, serves, rank, choices: None }
    }

    /// One more paragraph: before the facts and the link, or after them once there are any.
    #[must_use]
    pub fn saying(mut self, paragraph: &str) -> Self {
        let is_first = self.facts.is_empty() && self.link.is_none() && self.sections.is_empty();
        let place = if is_first { &mut self.opening } else { &mut self.closing };
        place.push(one_line(paragraph, LINE));
        self
    }

    /// One more line of "label: value".
    #[must_use]
    pub fn fact(mut self, label: &'static str, value: &str) -> Self {
        self.facts.push((label, one_line(value, LINE)));
        self
    }

    /// One more line of "label: moment", to the minute.
    #[must_use]
    pub fn moment(self, label: &'static str, at: Timestamp) -> Self {
        let at = at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M UTC").to_string();
        self.fact(label, &at)
    }

    /// A heading, below which [`Letter::item`] puts something. `more`: that there are more than are shown.
    #[must_use]
    pub fn section(mut self, heading: &str, more: Option<&str>) -> Self {
        let (heading, more) = (one_line(heading, LINE), more.map(|more| one_line(more, LINE)));
        self.sections.push(Section { heading, items: Vec::new(), more });
        self
    }

    /// One of many things below the newest heading: what it is, what is said about it, and the address of its page, which
    /// [`super::Outbox::address_of`] made.
    #[must_use]
    pub fn item(mut self, title: &str, lines: &[String], address: String) -> Self {
        let lines = lines.iter().map(|text| one_line(text, ITEM_LINE)).collect();
        let section = self.sections.last_mut().expect("an item is put below a heading");
        section.items.push(Item { title: one_line(title, LINE), lines, address });
        self
    }

    /// The one thing to do. The address is one that [`super::Outbox::address_of`] made.
    #[must_use]
    pub fn link(mut self, label: &'static str, address: String) -> Self {
        self.link = Some(Link { label, address });
        self
    }

    /// How long it is tried to deliver it.
    #[must_use]
    pub fn useful_for(mut self, serves: SignedDuration) -> Self {
        self.serves = serves;
        self
    }

    /// It goes after what is about accounts, is kept when it could not be delivered, and says where whoever gets it chooses
    /// what they get.
    #[must_use]
    pub fn notice(mut self, rank: Rank, choices: String) -> Self {
        self.rank = rank;
        self.choices = Some(choices);
        self
    }

    pub(super) fn rank(&self) -> Rank {
        self.rank
    }

    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    pub(super) fn serves(&self) -> SignedDuration {
        self.serves
    }

    /// Both parts; `from` is the portal's address.
    pub(super) fn write(&self, from: &str) -> askama::Result<Written> {
        let text = Text { letter: self, from }.render()?;
        let html = Html { letter: self, from }.render()?;
        Ok(Written { subject: self.subject.clone(), text, html, choices: self.choices.clone() })
    }
}

/// A text in the pieces between which a narrow window may break it: addresses and names are long, and programs that show mail
/// know little style. What is copied out of them is the text itself.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut run) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        if character.is_whitespace() {
            run = 0;
            continue;
        }
        // Before what cannot belong to the character before it.
        if run >= UNBROKEN && character.is_ascii() {
            pieces.push(&text[start..at]);
            (start, run) = (at, 0);
        }
        run += 1;
    }
    pieces.push(&text[start..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "Anna\r\nBcc: x@evil.example\n<script>alert(1)</script>\u{202e}\u{0}";

    #[test]
    fn what_comes_from_outside_stays_on_its_line_and_is_escaped() {
        // L-10
        let letter = Letter::new("test", HOSTILE).saying(HOSTILE).fact("Name", HOSTILE);
        let letter = letter.link("Open it", "https://portal.example/invite/AAAA".to_owned()).saying("The end.");
        let written = letter.write("https://portal.example").unwrap();
        for text in [&written.subject, &written.text, &written.html] {
            assert!(!text.contains('\r') && !text.contains('\u{202e}') && !text.contains('\0'), "{text:?}");
            assert!(!text.contains("\nBcc:"), "{text:?}");
        }
        assert!(!written.subject.contains('\n'));
        assert!(!written.html.contains("<script"), "{}", written.html);
        assert!(written.text.contains("Name: Anna"), "{}", written.text);
        for part in [&written.text, &written.html] {
            assert!(part.contains("https://portal.example/invite/AAAA") && part.contains("The end."), "{part}");
        }
    }

    #[test]
    fn one_of_many_stays_on_its_lines_and_is_escaped_too() {
        // L-10, U-02
        let letter = Letter::new("test", "Many").saying("Look:").section(HOSTILE, Some(HOSTILE));
        let letter = letter.item(HOSTILE, &[HOSTILE.to_owned()], "https://portal.example/approvals/1".to_owned());
        let letter = letter.link("Open the queue", "https://portal.example/".to_owned());
        let letter = letter.notice(Rank::Notice, "https://portal.example/me/notifications".to_owned());
        let written = letter.write("https://portal.example").unwrap();
        for text in [&written.text, &written.html] {
            assert!(!text.contains('\r') && !text.contains('\u{202e}') && !text.contains('\0'), "{text:?}");
            assert!(!text.contains("\nBcc:") && text.contains("https://portal.example/approvals/1"), "{text:?}");
            assert!(text.contains("https://portal.example/me/notifications"), "{text:?}");
        }
        assert!(!written.html.contains("<script"), "{}", written.html);
    }

    #[test]
    fn a_long_address_may_be_broken_where_it_is_read_and_nowhere_else() {
        let address = format!("https://portal.example/l/{}", "a".repeat(43));
        assert_eq!(pieces(&address).concat(), address);
        assert!(pieces(&address).iter().all(|piece| piece.len() <= UNBROKEN), "{:?}", pieces(&address));
        let sentence = "Words of a usual length, and an ümlaut, stay as they are.";
        assert_eq!((pieces(sentence), pieces("")), (vec![sentence], vec![""]));
        let joined = "e\u{301}".repeat(40);
        assert!(pieces(&joined).iter().all(|piece| !piece.starts_with('\u{301}')));

        let letter = Letter::new("test", "Long").link("Open", address.clone());
        let written = letter.write("https://portal.example").unwrap();
        assert!(written.html.contains(&format!("<a href=\"{address}\">")) && written.text.contains(&address));
        assert!(written.html.contains("https://portal.example/l<wbr>/aaa"), "{}", written.html);
    }

    #[test]
    fn a_subject_has_at_most_200_characters() {
        // L-10
        let written = Letter::new("test", &"ä".repeat(500)).write("https://portal.example").unwrap();
        assert_eq!(written.subject.chars().count(), 200);
        assert!(written.subject.ends_with('…'));
    }
}
