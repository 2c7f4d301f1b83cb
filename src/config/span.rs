//! Lengths of time as people write them in the configuration and on the command line.
//!
//! Never: guesses a unit.

use serde::Deserialize;

/// A length of time, written `500ms`, `30s`, `5m`, `1h` or `7d`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub us: i64,
}

impl Span {
    pub const fn seconds(seconds: i64) -> Span {
        Span { us: seconds * 1_000_000 }
    }

    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_micros(self.us.unsigned_abs())
    }

    fn parse(text: &str) -> Option<Span> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = text[..digits].parse().ok()?;
        let unit: i64 = match &text[digits..] {
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return None,
        };
        number.checked_mul(unit).map(|us| Span { us })
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Span, String> {
        Span::parse(text)
            .ok_or_else(|| format!("{text:?} is not a length of time; expected for example 500ms, 30s, 5m, 1h or 7d"))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
