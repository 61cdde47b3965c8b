//! How long something is good for, as people write and read it: a number and a unit.

use std::str::FromStr;

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

/// Seconds that something is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime(pub(crate) u64);

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration: must be like 90s, 30m, 24h or 7d");
        let seconds = UNITS.iter().find_map(|(unit, seconds)| {
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            number.checked_mul(*seconds)
        });
        seconds.filter(|&s| s > 0).map(Self).ok_or_else(wrong)
    }
}

/// A span in its two largest units.
pub(crate) fn in_words(seconds: u64) -> String {
    let mut left = seconds;
    let mut parts = Vec::new();
    for (unit, size) in UNITS {
        if left >= size {
            parts.push(format!("{}{unit}", left / size));
            left %= size;
        }
    }
    parts.truncate(2);
    match parts.is_empty() {
        true => "0s".into(),
        false => parts.join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800)] {
            assert_eq!(text.parse(), Ok(Lifetime(seconds)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_would_do() {
        for text in [
            "",
            "h",
            "5",
            "-1h",
            "0s",
            "1.5h",
            "1h30m",
            "99999999999999999999d",
        ] {
            let wrong = text.parse::<Lifetime>().expect_err("no duration");
            assert!(wrong.contains("24h"), "{wrong}");
        }
    }

    #[test]
    fn people_read_two_units() {
        assert_eq!(in_words(0), "0s");
        assert_eq!(in_words(90), "1m 30s");
        assert_eq!(in_words(86_400), "1d");
        assert_eq!(in_words(90_061), "1d 1h");
    }
}
