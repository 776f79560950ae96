//! Which passwords are taken (S-01 to S-05). Length is the rule; composition and age are none. What is refused beyond
//! length is what is guessed first, and the refusal says by which rule.

use secrecy::{ExposeSecret as _, SecretString};
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use super::common::{self, Words};

/// The fewest code points where the password is the only factor (NIST SP 800-63B-4, 3.1.1.2).
pub const SHORTEST: usize = 15;
/// The fewest beside a second factor.
pub const SHORTEST_BESIDE: usize = 8;
/// The most bytes. Longer is refused, never cut.
pub const LONGEST: usize = 1024;

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    #[error("A password has at least {least} characters; this one has {has}. A few words are easiest to remember.")]
    TooShort { has: usize, least: usize },
    #[error("A password has at most 1024 bytes; this one is longer.")]
    TooLong,
    #[error("This password is little more than {0}. Choose something that has nothing to do with it.")]
    About(&'static str),
    #[error(
        "This password is little more than a word that the operator of this portal forbids in passwords. Choose something that \
         has nothing to do with it."
    )]
    Forbidden,
    #[error("This password {0}, so it is among the first that are guessed. Choose another.")]
    Common(&'static str),
}

/// Whose password it is to be: nobody may use what everybody knows about them.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    pub email: &'a str,
    pub name: &'a str,
    /// The public host name.
    pub host: &'a str,
    /// What the operator forbids.
    pub words: &'a [String],
}

/// The form in which passwords are hashed and compared: NFKC, so that `é` typed on any keyboard is one password. Nothing
/// is trimmed or folded. None for what is too long to be anybody's.
#[must_use]
pub fn normalise(password: &SecretString) -> Option<Zeroizing<String>> {
    let typed = password.expose_secret();
    if typed.len() > LONGEST {
        return None;
    }
    // Sized beforehand: a string that grows leaves copies of itself behind.
    let mut out = Zeroizing::new(String::with_capacity(typed.nfkc().map(char::len_utf8).sum()));
    out.extend(typed.nfkc());
    Some(out)
}

/// Checks a new password that is to be the only factor, and gives it back in the form to hash.
///
/// # Errors
/// [`BadPassword`], the first rule that it breaks.
pub fn accept(password: &SecretString, about: About<'_>) -> Result<Zeroizing<String>, BadPassword> {
    accept_of(password, about, SHORTEST)
}

/// Checks a new password that has at least so many code points, and gives it back in the form to hash.
///
/// # Errors
/// [`BadPassword`], the first rule that it breaks.
pub fn accept_of(password: &SecretString, about: About<'_>, least: usize) -> Result<Zeroizing<String>, BadPassword> {
    let normal = normalise(password).ok_or(BadPassword::TooLong)?;
    let length = normal.chars().count().min(password.expose_secret().chars().count());
    if length < least {
        return Err(BadPassword::TooShort { has: length, least });
    }
    let folded = Zeroizing::new(normal.to_lowercase());
    if let Some(what) = Words::about(about).little_more_than(&folded) {
        return Err(BadPassword::About(what));
    }
    if common::forbidden(&folded, about.words) {
        return Err(BadPassword::Forbidden);
    }
    match common::guessed_first(&folded) {
        Some(why) => Err(BadPassword::Common(why)),
        None => Ok(normal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: About<'_> = About {
        email: "anna.schmidt-weber@example.org",
        name: "Anna Schmidt-Weber",
        host: "releases.example.org",
        words: &[],
    };

    fn take(password: &str) -> Result<Zeroizing<String>, BadPassword> {
        accept(&SecretString::from(password), ANNA)
    }

    #[test]
    fn length_is_counted_in_code_points_and_bounded_in_bytes() {
        // S-01
        assert_eq!(take("fourteen chars").unwrap_err(), BadPassword::TooShort { has: 14, least: 15 });
        assert!(take("fifteen chars!!").is_ok());
        assert!(take("Xq7 vM2 pLw 9fz RtB 4hK sYd 8nJ cGu 3eA oWi 6kD mZx 5bV jTr 1yQa").is_ok(), "64");
        let long: String = (0..1024_u32).map(|i| char::from(b'a' + (i * i * 7 % 26 + i % 3) as u8 % 26)).collect();
        assert!(take(&long).is_ok());
        assert_eq!(take(&format!("{long}x")).unwrap_err(), BadPassword::TooLong);
        assert!(BadPassword::TooShort { has: 3, least: 15 }.to_string().contains("at least 15"));
    }

    #[test]
    fn beside_a_second_factor_eight_are_enough() {
        // S-01
        let take = |password: &str| accept_of(&SecretString::from(password), ANNA, SHORTEST_BESIDE);
        assert!(take("vB7 qLm!").is_ok());
        assert_eq!(take("vB7 qLm").unwrap_err(), BadPassword::TooShort { has: 7, least: 8 });
        assert!(
            matches!(take("password"), Err(BadPassword::Common(_))),
            "what is guessed first is refused all the same"
        );
    }

    #[test]
    fn words_and_emoji_are_as_good_as_symbols() {
        // S-02
        for password in ["correct horse battery staple", &"🦀".repeat(15), "ein ganz langer satz ohne ziffern"] {
            assert!(take(password).is_ok(), "{password}");
        }
    }

    #[test]
    fn composed_and_decomposed_letters_are_one_password_but_case_and_blanks_count() {
        // S-05
        let form = |text: &str| normalise(&SecretString::from(text)).unwrap();
        assert_eq!(form("caf\u{e9} am Meer und Hafen"), form("cafe\u{301} am Meer und Hafen"));
        assert_ne!(form("Cafe"), form("cafe"));
        assert_ne!(form("cafe "), form("cafe"));
    }

    #[test]
    fn what_everybody_knows_about_a_person_is_refused_by_name() {
        // S-03
        let about = |password: &str| match take(password) {
            Err(BadPassword::About(what)) => what,
            other => panic!("{password}: {other:?}"),
        };
        assert_eq!(about("anna.schmidt-weber@example.org"), "your e-mail address");
        assert_eq!(about("Anna.Schmidt-Weber2026!"), "your e-mail address");
        assert_eq!(about("ANNA SCHMIDT-WEBER"), "your name");
        assert_eq!(about("releases.example.org1"), "the address of this site");
        assert_eq!(about("countersign2026"), "the name of this software");
        assert!(take("countersign keeps my releases honest").is_ok());
    }

    #[test]
    fn words_that_the_operator_forbids_are_refused_with_whatever_stands_around_them() {
        // S-03
        let words = ["Umbrella".to_owned(), "Project Phoenix".to_owned(), "k9s".to_owned()];
        let take = |text: &str, least| accept_of(&SecretString::from(text), About { words: &words, ..ANNA }, least);
        for password in [
            "umbrella",
            "Umbrella2026",
            "2026-UMBRELLA-0815-4711",
            "!!umbrella!!123456789",
            "Umbr3ll@2026",
            "project phoenix",
            "ProjectPhoenix1",
            "k9s12345678901234",
            "umbrella umbrella",
        ] {
            assert_eq!(take(password, SHORTEST_BESIDE).unwrap_err(), BadPassword::Forbidden, "{password}");
        }
        for password in ["an umbrella for every second rainy day", "the k9s slept through it all"] {
            assert!(take(password, SHORTEST).is_ok(), "{password}");
        }
        assert!(BadPassword::Forbidden.to_string().contains("forbids"));
    }

    #[test]
    fn what_is_guessed_first_is_refused() {
        // S-03
        for password in [
            "aaaaaaaaaaaaaaaa",
            "passwordpassword",
            "Password1234567",
            "P@ssw0rdP@ssw0rd!",
            "abcabcabcabcabc",
            "qwertyuiopasdfgh",
            "1q2w3e4r5t6y7u8i",
            "1qaz2wsx3edc4rfv",
            "123456789012345",
            "abcdefghijklmnop",
            "zyxwvutsrqponmlk",
            "111111222222333",
            "iloveyou12345678",
            "letmeinletmein1!",
            "WelcomeWelcome2024",
            "Summer2024Summer2024",
            "administrator123",
            "qwerty123456789",
        ] {
            let refused = take(password);
            assert!(matches!(refused, Err(BadPassword::Common(_))), "{password}: {refused:?}");
        }
    }
}
