//! Durations as people write them in a world file: `90s`, `10m`, `-2h`, `3d`, `1h30m`.

use jiff::SignedDuration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration, possibly negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub SignedDuration);

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no duration; write 90s, 10m, -2h, 3d or 1h30m");
        let (sign, mut rest) = text.trim().strip_prefix('-').map_or((1, text.trim()), |rest| (-1, rest));
        let mut seconds: i64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let number: i64 = rest[..digits].parse().map_err(|_| wrong())?;
            let unit = match rest.as_bytes()[digits] {
                b's' => 1,
                b'm' => 60,
                b'h' => 3600,
                b'd' => 86400,
                _ => return Err(wrong()),
            };
            seconds += number * unit;
            rest = &rest[digits + 1..];
        }
        if text.trim_matches([' ', '-']).is_empty() {
            Err(wrong())
        } else {
            Ok(Self(SignedDuration::from_secs(sign * seconds)))
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}s", self.0.as_secs()))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("-2h", -7200), ("3d", 259_200), ("1h30m", 5400)] {
            assert_eq!(text.parse::<Span>(), Ok(Span(SignedDuration::from_secs(seconds))), "{text}");
        }
        for text in ["", "-", "10", "m", "10 years", "1é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
