//! What is guessed first: short pieces repeated, rows of keys or letters, and chains of the words that lead every list of
//! leaked passwords. Rules for long ones, because the lists hold few entries of 15 characters and more, and nearly all of
//! those are made by these rules; and a list for the short ones that are taken beside a second factor.
//!
//! Everything here works on lower case.

use std::sync::OnceLock;

use unicode_normalization::UnicodeNormalization as _;

use super::password::About;

/// Words that lead lists of leaked passwords, with the seasons, months and days that people put beside a year.
const COMMON: &str = "password passwort passwd passw0rd motdepasse contrasena wachtwoord haslo senha qwertyuiop qwertzuiop \
    qwerty qwertz azerty asdfghjkl asdfgh asdf zxcvbnm zxcvb yxcvbnm letmein welcome willkommen bienvenue hello hallo \
    iloveyou ichliebedich loveyou lovely love princess sunshine dragon monkey football baseball basketball soccer hockey \
    superman batman spiderman starwars pokemon master shadow michael jennifer jessica jordan daniel charlie thomas \
    robert andrew joshua matthew anthony ashley nicole hannah michelle trustno changeme change temporary temp test \
    testing tester default secret geheim private access login logon signin admin administrator root system server \
    database oracle mysql postgres production prod deploy release pipeline approval manager company office internet \
    computer windows linux ubuntu google facebook amazon microsoft apple samsung whatever freedom forever friends \
    family mother father hunter ranger killer ninja angel angels flower butterfly chocolate cookie banana orange \
    purple yellow silver golden diamond cheese pepper ginger summer sommer winter spring fruehling autumn herbst \
    january february march april june july august september october november december januar februar maerz mai juni \
    juli oktober dezember monday tuesday wednesday thursday friday saturday sunday montag dienstag mittwoch donnerstag \
    freitag samstag sonntag liverpool arsenal chelsea barcelona merlin phoenix matrix gandalf mustang mercedes porsche \
    ferrari harley yamaha guitar abc123 abcdef abcd123 1q2w3e4r 1qaz2wsx zaq12wsx 123456789 12345678 123456 123123 \
    654321 987654321 111111 000000 121212 666666 696969 112233 the and you my is me to";

/// The list, in byte order after a head of comments.
const LIST: &str = include_str!("common_passwords.txt");

const ROWS: [&str; 4] = ["1234567890-=", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./"];

/// Why a password is guessed early, if it is. Only ASCII is looked at: lists of common passwords hold nothing else.
pub fn guessed_first(folded: &str) -> Option<&'static str> {
    let bytes = folded.as_bytes();
    if !folded.is_ascii() || bytes.is_empty() {
        return None;
    }
    if is_listed(folded) {
        return Some("is one of those that most people have used");
    }
    if different(bytes) < 5 {
        return Some("uses too few different characters");
    }
    if repeats_short_piece(bytes) {
        return Some("repeats a short piece");
    }
    if is_mostly_steps(bytes) {
        return Some("is a row of letters, digits or keys");
    }
    let chained = Words::common().little_more_than(folded).or_else(|| Words::common().little_more_than(&plain(folded)));
    chained.map(|_| "is made of words that everybody uses")
}

/// Whether a password is little more than one of the operator's words: nothing but digits, blanks and punctuation around
/// it, with look-alikes for letters or without, or several of them in a row.
pub fn forbidden(folded: &str, words: &[String]) -> bool {
    let words = words.iter().flat_map(|word| {
        let word = word.trim().nfkc().collect::<String>().to_lowercase();
        let joined = word.split_whitespace().collect::<String>();
        [word, joined]
    });
    let words: Vec<String> = words.collect();
    words.iter().any(|word| stands_alone(folded, word))
        || Words::new(words.into_iter().map(|word| (word, "a forbidden word"))).little_more_than(folded).is_some()
}

/// Whether `word` occurs somewhere with no letter outside it.
fn stands_alone(folded: &str, word: &str) -> bool {
    let letters: zeroize::Zeroizing<Vec<char>> = zeroize::Zeroizing::new(folded.chars().collect());
    let word: Vec<char> = word.chars().collect();
    let is_same = |there: char, here: char| there == here || look_alike(there) == look_alike(here);
    let ends = |at: usize| letters[..at].iter().chain(&letters[at + word.len()..]);
    (0..(letters.len() + 1).saturating_sub(word.len())).any(|at| {
        letters[at..].iter().zip(&word).all(|(there, here)| is_same(*there, *here))
            && !ends(at).any(|outside| outside.is_alphabetic())
    })
}

fn is_listed(folded: &str) -> bool {
    static LISTED: OnceLock<Vec<&str>> = OnceLock::new();
    let listed = LISTED.get_or_init(|| LIST.lines().filter(|line| !line.starts_with('#')).collect());
    listed.binary_search(&folded).is_ok()
}

fn different(bytes: &[u8]) -> usize {
    let mut seen = [false; 256];
    bytes.iter().for_each(|byte| seen[usize::from(*byte)] = true);
    seen.iter().filter(|was| **was).count()
}

fn repeats_short_piece(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2)
        .take(14)
        .any(|piece| bytes[piece..].iter().zip(bytes).all(|(later, earlier)| later == earlier))
}

/// Two of three neighbours are equal, follow each other, or lie beside each other on a keyboard.
fn is_mostly_steps(bytes: &[u8]) -> bool {
    let steps = bytes.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 1 || are_beside(pair[0], pair[1])).count();
    steps * 3 >= (bytes.len() - 1) * 2
}

fn are_beside(one: u8, other: u8) -> bool {
    let place = |key: u8| {
        ROWS.iter().enumerate().find_map(|(row, keys)| Some((row, keys.bytes().position(|there| there == key)?)))
    };
    place(one).zip(place(other)).is_some_and(|(a, b)| a.0.abs_diff(b.0) <= 1 && a.1.abs_diff(b.1) <= 1)
}

/// Undoes the usual replacements of letters by look-alikes.
fn plain(folded: &str) -> String {
    folded.chars().map(look_alike).collect()
}

fn look_alike(c: char) -> char {
    match c {
        '0' => 'o',
        '1' | '!' => 'i',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' => 't',
        c => c,
    }
}

/// Words to take out of a password, each with what it is called; the longest first.
pub struct Words(Vec<(String, &'static str)>);

impl Words {
    fn new(words: impl IntoIterator<Item = (String, &'static str)>) -> Self {
        let mut words: Vec<_> = words.into_iter().filter(|(word, _)| !word.is_empty()).collect();
        words.sort_by_key(|(word, _)| std::cmp::Reverse(word.len()));
        Self(words)
    }

    fn common() -> Self {
        Self::new(COMMON.split_whitespace().map(|word| (word.to_owned(), "common words")))
    }

    /// What is known about a person and this site. Short ones are left out: they occur in anything.
    pub fn about(about: About<'_>) -> Self {
        let email = about.email.to_lowercase();
        let local = email.split('@').next().unwrap_or_default().to_owned();
        let name = about.name.to_lowercase();
        let joined = name.split_whitespace().collect::<String>();
        let words = [
            (email, "your e-mail address"),
            (local, "your e-mail address"),
            (name, "your name"),
            (joined, "your name"),
            (about.host.to_lowercase(), "the address of this site"),
            ("countersign".to_owned(), "the name of this software"),
        ];
        Self::new(words.into_iter().filter(|(word, _)| word.chars().count() >= 4))
    }

    /// Takes every word out. What was found first, if so little is left that it can be tried out: under four letters, and
    /// under eight characters of any kind.
    pub fn little_more_than(&self, folded: &str) -> Option<&'static str> {
        let mut rest = folded.to_owned();
        let mut found = None;
        for (word, what) in &self.0 {
            if rest.contains(word.as_str()) {
                // A blank, so that what stood on both sides does not become a word.
                rest = rest.replace(word.as_str(), " ");
                found = found.or(Some(*what));
            }
        }
        let letters = rest.chars().filter(|c| c.is_alphabetic()).count();
        let others = rest.chars().filter(|c| !c.is_whitespace()).count();
        let little = letters < 4 && others < 8;
        zeroize::Zeroize::zeroize(&mut rest);
        found.filter(|_| little)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_most_people_have_used_is_looked_up() {
        // S-03: at least 3,000 entries of permitted lengths.
        let listed: Vec<&str> = LIST.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(listed.is_sorted(), "binary search needs the order");
        assert!(listed.len() >= 3000 && listed.iter().all(|word| word.len() >= 8 && !word.contains(' ')));
        for word in ["metallica", "elizabeth", "samantha", "slipknot", "garfield", "swordfish"] {
            assert_eq!(guessed_first(word), Some("is one of those that most people have used"), "{word}");
        }
        assert_eq!(guessed_first("vb7 qlm!"), None);
    }

    #[test]
    fn a_walk_over_the_keys_is_a_row_and_a_sentence_is_not() {
        assert!(is_mostly_steps(b"qwertyuiopasdfgh"));
        assert!(is_mostly_steps(b"zaqxswcdevfrbgt"));
        for sentence in ["we were there as poets", "correct horse battery staple", "the red desert was deserted"] {
            assert_eq!(guessed_first(sentence), None, "{sentence}");
        }
    }

    #[test]
    fn a_long_piece_may_be_repeated() {
        assert!(repeats_short_piece(b"swordfishswordfishswo"));
        assert!(!repeats_short_piece(b"a much longer piece a much longer piece "));
    }
}
