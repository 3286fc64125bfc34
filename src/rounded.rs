//! Durations as people read them. The library and the program both use this file, so that reports, log lines, pictures and
//! tables write a duration in the same way.

use std::{fmt, time::Duration};

/// Displays a duration with three significant digits and a unit: `0 s`, `223 µs`, `9.00 s`. From 100 seconds on it is
/// `1 min 40 s`, `2 h 13 min` or `2 days 7 h`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounded(pub(crate) Duration);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (nanoseconds, seconds) = (self.0.as_nanos(), self.0.as_secs_f64());
        let whole = self.0.as_secs();
        // The bounds are half a digit lower than they look, because a value just below a bound would be rounded up to it.
        match () {
            () if nanoseconds == 0 => f.write_str("0 s"),
            () if nanoseconds < 1000 => write!(f, "{nanoseconds} ns"),
            () if seconds < 999.5e-6 => three_digits(f, seconds * 1e6, "\u{b5}s"),
            () if seconds < 999.5e-3 => three_digits(f, seconds * 1e3, "ms"),
            () if seconds < 99.95 => three_digits(f, seconds, "s"),
            () if whole < 3600 => write!(f, "{} min {} s", whole / 60, whole % 60),
            () if whole < 48 * 3600 => write!(f, "{} h {} min", whole / 3600, whole / 60 % 60),
            () => write!(f, "{} days {} h", whole / 86_400, whole / 3600 % 24),
        }
    }
}

fn three_digits(f: &mut fmt::Formatter<'_>, value: f64, unit: &str) -> fmt::Result {
    let decimals = match () {
        () if value < 9.995 => 2,
        () if value < 99.95 => 1,
        () => 0,
    };
    write!(f, "{value:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let rows = [
            (0, "0 s"),
            (1, "1 ns"),
            (999, "999 ns"),
            (1_234, "1.23 \u{b5}s"),
            (45_678, "45.7 \u{b5}s"),
            (223_409, "223 \u{b5}s"),
            (999_600, "1.00 ms"),
            (9_996_000, "10.0 ms"),
            (12_345_678, "12.3 ms"),
            (999_400_000, "999 ms"),
            (1_697_000_000, "1.70 s"),
            (8_998_815_417, "9.00 s"),
            (99_949_000_000, "99.9 s"),
            (99_960_000_000, "1 min 39 s"),
            (7_980_000_000_000, "2 h 13 min"),
            (200_000_000_000_000, "2 days 7 h"),
        ];
        for (nanoseconds, text) in rows {
            assert_eq!(Rounded(Duration::from_nanos(nanoseconds)).to_string(), text);
        }
        assert!(Rounded(Duration::MAX).to_string().contains(" days "));
    }
}
