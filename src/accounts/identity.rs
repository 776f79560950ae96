//! Who somebody says they are: e-mail addresses and names, checked at the edge.

use unicode_normalization::UnicodeNormalization as _;

use crate::domain::ids::sha256;
use crate::domain::text;

/// An e-mail address as typed, with the form it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    shown: String,
    key: EmailKey,
}

impl Email {
    /// # Errors
    /// One sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown = text.trim();
        let key = EmailKey::of(shown);
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if shown.len() > 254 || key.0.len() > 254 {
            return Err("An e-mail address has at most 254 characters.".to_owned());
        }
        let whole = key.0.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && !domain.contains('@') && !key.0.contains(odd)
        });
        if !whole || shown.contains(odd) || text::has_deceptive(shown) {
            return Err("This is no e-mail address. It looks like name@example.org.".to_owned());
        }
        Ok(Self { shown: shown.to_owned(), key })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    #[must_use]
    pub fn key(&self) -> &EmailKey {
        &self.key
    }
}

/// What an account is found by: NFKC, lower case. Made from anything somebody types into the sign-in form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmailKey(String);

impl EmailKey {
    #[must_use]
    pub fn of(text: &str) -> Self {
        // PostgreSQL knows no NUL in text, and nobody has one in an address.
        let storable = |c: char| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c };
        Self(text.trim().nfkc().flat_map(char::to_lowercase).map(storable).collect())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// SHA-256: what waits are kept under, so that strangers' addresses are not.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.as_bytes())
    }
}

/// Checks a person's name: 1 to 120 characters that can all be seen.
///
/// # Errors
/// One sentence that says what is wrong.
pub fn parse_name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() || name.chars().count() > 120 {
        return Err("A name has 1 to 120 characters.".to_owned());
    }
    if name.chars().any(char::is_control) || text::has_deceptive(name) {
        return Err("A name cannot hold line breaks or characters that cannot be seen.".to_owned());
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_one_key_however_it_is_typed() {
        let typed = [" Anna@Example.org", "anna@example.org", "ANNA@EXAMPLE.ORG ", "ａnna@example.org"];
        let keys: Vec<EmailKey> = typed.iter().map(|text| Email::parse(text).unwrap().key).collect();
        assert!(keys.iter().all(|key| key.as_str() == "anna@example.org"), "{keys:?}");
        assert_eq!(Email::parse(" Anna@Example.org").unwrap().as_str(), "Anna@Example.org");
    }

    #[test]
    fn what_postgres_cannot_hold_is_in_no_key() {
        // U-02
        assert!(Email::parse("an\0na@example.org").is_err());
        let key = EmailKey::of("an\0na@example.org");
        assert!(!key.as_str().contains('\0') && key != EmailKey::of("anna@example.org"), "{key:?}");
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in ["", "anna", "@example.org", "anna@", "a@b@c", "an na@x.org", "a\u{202e}@x.org", "a＠b@c", "a\n@b"]
        {
            assert!(Email::parse(text).is_err(), "{text:?}");
        }
        assert!(Email::parse(&format!("{}@x.org", "a".repeat(249))).is_err());
    }

    #[test]
    fn a_name_can_be_seen_whole() {
        assert_eq!(parse_name("  Zoë Ångström-李 ").unwrap(), "Zoë Ångström-李");
        for name in ["", "  ", "a\nb", "a\u{202e}b", "a\u{200b}b", &"x".repeat(121)] {
            assert!(parse_name(name).is_err(), "{name:?}");
        }
    }
}
