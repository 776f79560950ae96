//! API tokens as words and rules: what one looks like, what it may be used for, how long it serves.
//!
//! A token is `csn_`, 256 random bits in 43 digits of base 62, and a checksum of everything before it in 6 more: so what
//! was mistyped or cut off is told from a token by looking at it, and programs that search for lost secrets can tell too.

use std::fmt;
use std::str::FromStr;

use jiff::SignedDuration;
use zeroize::Zeroizing;

use super::ids::sha256;

/// What every token begins with.
pub const PREFIX: &str = "csn_";
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62 to the power of 43 is just above 2 to the power of 256.
const BODY: usize = 43;
const CHECKSUM: usize = 6;
const LENGTH: usize = PREFIX.len() + BODY + CHECKSUM;

/// The token that these random bytes make.
#[must_use]
pub fn write(random: &[u8; 32]) -> Zeroizing<String> {
    let mut token = Zeroizing::new(String::with_capacity(LENGTH));
    token.push_str(PREFIX);
    push_digits(&mut token, random, BODY);
    let sum = sha256(token.as_bytes());
    push_digits(&mut token, &sum[..4], CHECKSUM);
    token
}

/// Whether a text could be a token of this kind, whoever made it: length, characters, checksum.
#[must_use]
pub fn is_whole(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(PREFIX) else { return false };
    if text.len() != LENGTH || !rest.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return false;
    }
    let (signed, sum) = text.split_at(LENGTH - CHECKSUM);
    let mut right = String::with_capacity(CHECKSUM);
    push_digits(&mut right, &sha256(signed.as_bytes())[..4], CHECKSUM);
    right == sum
}

/// Writes a number, its first byte the highest, as exactly so many digits.
fn push_digits(out: &mut String, number: &[u8], width: usize) {
    let mut rest = Zeroizing::new(number.to_vec());
    let mut digits = Zeroizing::new(vec![0_u8; width]);
    for digit in digits.iter_mut().rev() {
        let mut carry = 0_u16;
        for byte in rest.iter_mut() {
            let value = carry << 8 | u16::from(*byte);
            *byte = u8::try_from(value / 62).expect("what is carried is under 62");
            carry = value % 62;
        }
        *digit = DIGITS[usize::from(carry)];
    }
    out.extend(digits.iter().map(|digit| char::from(*digit)));
}

/// What a token may be used for, beside what its person may do at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Scope {
    /// Reads what its person may read
    Read,
    /// Reads, and decides what its person may decide
    Decide,
}

impl Scope {
    pub const ALL: [Self; 2] = [Self::Read, Self::Decide];

    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Decide => "decide",
        }
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    /// Whether a token of this scope is enough where `needed` is asked for.
    #[must_use]
    pub fn covers(self, needed: Self) -> bool {
        self >= needed
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long a token serves: from an hour to 365 days. There is none that serves for ever (S-29).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime(SignedDuration);

/// Why a text is no lifetime of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token serves from 1 hour to 365 days: write 12h, 30d or 8w")]
pub struct BadLifetime;

impl Lifetime {
    /// # Errors
    /// It is too short or too long.
    pub fn new(length: SignedDuration) -> Result<Self, BadLifetime> {
        let serves = SignedDuration::from_hours(1)..=SignedDuration::from_hours(365 * 24);
        serves.contains(&length).then_some(Self(length)).ok_or(BadLifetime)
    }

    #[must_use]
    pub fn length(self) -> SignedDuration {
        self.0
    }
}

impl FromStr for Lifetime {
    type Err = BadLifetime;

    fn from_str(text: &str) -> Result<Self, BadLifetime> {
        let hours = match text.chars().last() {
            Some('h') => 1,
            Some('d') => 24,
            Some('w') => 7 * 24,
            _ => return Err(BadLifetime),
        };
        // Five digits are 11 years in hours: nothing overflows.
        let number = &text[..text.len() - 1];
        if !(1..=5).contains(&number.len()) || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadLifetime);
        }
        let number: i64 = number.parse().map_err(|_| BadLifetime)?;
        Self::new(SignedDuration::from_hours(number * hours))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_its_bits_and_a_checksum() {
        // S-29: pinned, because other programs look for this form.
        let token = write(&[0; 32]);
        assert!(token.starts_with(&format!("csn_{}", "0".repeat(43))), "{}", *token);
        let most = write(&[0xff; 32]);
        assert_eq!((token.len(), most.len()), (53, 53));
        assert!(is_whole(&token) && is_whole(&most) && *token != *most);
        let number = "csn_0000000000000000000000000000000000000000013";
        let mut random = [0; 32];
        random[31] = 65;
        assert!(write(&random).starts_with(number), "65 is 1 times 62 and 3");
    }

    #[test]
    fn what_was_mistyped_cut_or_added_to_is_no_token() {
        // S-29
        let token = write(&[7; 32]);
        for at in PREFIX.len()..LENGTH {
            let mut other = token.to_string();
            let wrong = if &other[at..=at] == "a" { "b" } else { "a" };
            other.replace_range(at..=at, wrong);
            assert!(!is_whole(&other), "{other}");
        }
        for end in 0..LENGTH {
            assert!(!is_whole(&token[..end]));
        }
        for text in
            [format!("{}0", *token), format!(" {}", *token), token.to_uppercase(), token.replace("csn_", "csn-")]
        {
            assert!(!is_whole(&text), "{text}");
        }
        assert!(!is_whole(&"é".repeat(27)) && !is_whole(&format!("csn_{}\u{e9}", "a".repeat(47))));
    }

    #[test]
    fn deciding_covers_reading_and_reading_nothing_else() {
        assert!(Scope::Decide.covers(Scope::Read) && Scope::Decide.covers(Scope::Decide));
        assert!(Scope::Read.covers(Scope::Read) && !Scope::Read.covers(Scope::Decide));
        assert!(Scope::ALL.into_iter().all(|scope| Scope::from_name(scope.name()) == Some(scope)));
    }

    #[test]
    fn a_lifetime_is_an_hour_to_a_year() {
        // S-29
        for (text, hours) in [("1h", 1), ("30d", 720), ("52w", 8736), ("365d", 8760), ("8760h", 8760)] {
            assert_eq!(text.parse::<Lifetime>().map(|it| it.length().as_hours()), Ok(hours), "{text}");
        }
        for text in
            ["", "d", "0d", "0h", "366d", "53w", "8761h", "-1d", "+1d", "1.5d", "30", "30 d", "1y", "99999999d", "1é"]
        {
            assert_eq!(text.parse::<Lifetime>(), Err(BadLifetime), "{text}");
        }
    }
}
