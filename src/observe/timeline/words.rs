//! Counts and texts of clients, written for people.

use std::fmt::Write;

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

/// Joins the texts that are not empty: `a, b and c`.
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
    fn counts_and_lists_read_well() {
        assert_eq!([count(1, "request"), count(3000, "request")], ["1 request", "3,000 requests"]);
        assert_eq!([0, 12, 123, 1_234_567].map(thousands), ["0", "12", "123", "1,234,567"]);
        let parts = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([list(&parts), list(&parts[..2]), list(&parts[..1])], ["a, b and c", "a and b", "a"]);
        assert_eq!([shortened("abcd", 4), shortened("abcde", 4)], ["abcd", "abc\u{2026}"]);
    }
}
