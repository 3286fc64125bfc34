//! Durations, counts and clients' texts, as people read them.

use std::{fmt::Write, time::Duration};

/// Three digits and a unit: `223 µs`, `1.70 s`, `2 h 13 min`.
pub(super) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = duration.as_secs();
    // Half a digit below the bound would be rounded up to it.
    match () {
        () if duration.is_zero() => "0 s".to_owned(),
        () if seconds < 999.5e-6 => three_digits(seconds * 1e6, "\u{b5}s"),
        () if seconds < 999.5e-3 => three_digits(seconds * 1e3, "ms"),
        () if seconds < 99.95 => three_digits(seconds, "s"),
        () if whole < 3600 => format!("{} min {} s", whole / 60, whole % 60),
        () if whole < 48 * 3600 => format!("{} h {} min", whole / 3600, whole / 60 % 60),
        () => format!("{} days {} h", whole / 86_400, whole / 3600 % 24),
    }
}

fn three_digits(value: f64, unit: &str) -> String {
    match () {
        () if value < 9.995 => format!("{value:.2} {unit}"),
        () if value < 99.95 => format!("{value:.1} {unit}"),
        () => format!("{value:.0} {unit}"),
    }
}

/// `1 request`, `3,000 requests`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", thousands(number))
}

pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// At most `most` characters of a text, with an ellipsis for the rest.
pub(super) fn shortened(text: &str, most: usize) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(most).collect();
    if characters.next().is_some() {
        short.pop();
        short.push('\u{2026}');
    }
    short
}

/// `a, b and c`, of those that are not empty.
pub(super) fn list(parts: &[String]) -> String {
    let mut text = String::new();
    for (place, part) in parts.iter().enumerate() {
        let joint = match place {
            0 => "",
            _ if place + 1 == parts.len() => " and ",
            _ => ", ",
        };
        _ = write!(text, "{joint}{part}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let nanoseconds = [
            (0, "0 s"),
            (1, "0.00 \u{b5}s"),
            (223_409, "223 \u{b5}s"),
            (999_600, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (1_697_000_000, "1.70 s"),
            (99_949_000_000, "99.9 s"),
            (99_960_000_000, "1 min 39 s"),
            (7_980_000_000_000, "2 h 13 min"),
            (200_000_000_000_000, "2 days 7 h"),
        ];
        for (nanoseconds, text) in nanoseconds {
            assert_eq!(duration(Duration::from_nanos(nanoseconds)), text);
        }
    }

    #[test]
    fn counts_and_lists_read_well() {
        assert_eq!([count(1, "request"), count(3000, "request")], ["1 request", "3,000 requests"]);
        assert_eq!([0, 12, 123, 1_234_567].map(thousands), ["0", "12", "123", "1,234,567"]);
        let parts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([list(&parts), list(&parts[..2]), list(&parts[..1])], ["a, b and c", "a and b", "a"]);
        assert_eq!([shortened("abcd", 4), shortened("abcde", 4)], ["abcd", "abc\u{2026}"]);
    }
}
