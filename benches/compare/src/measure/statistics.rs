//! Medians and spreads of a few samples, and the formats of numbers.

/// Samples of one quantity, in order of size; never empty.
#[derive(Debug, Clone)]
pub(super) struct Samples(Vec<f64>);

impl Samples {
    /// # Panics
    ///
    /// If `samples` is empty.
    pub(super) fn new(samples: impl IntoIterator<Item = f64>) -> Samples {
        let mut samples: Vec<f64> = samples.into_iter().collect();
        assert!(!samples.is_empty(), "there is no median of nothing");
        samples.sort_by(f64::total_cmp);
        Samples(samples)
    }

    pub(super) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len() % 2 == 1 { self.0[middle] } else { f64::midpoint(self.0[middle - 1], self.0[middle]) }
    }

    pub(super) fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// The smallest and the largest sample.
    pub(super) fn spread(&self) -> String {
        format!("{} to {}", short(self.0[0]), short(self.max()))
    }
}

/// Formats a number with three significant digits, or with all digits before the point.
pub(super) fn short(number: f64) -> String {
    match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}

/// Formats a number with a comma before each group of three digits.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Samples, short, thousands};

    #[test]
    fn median_and_spread() {
        let samples = Samples::new([30.0, 1.0, 2.0]);
        assert_eq!((samples.median(), samples.spread()), (2.0, "1.00 to 30.0".to_owned()));
        assert_eq!(Samples::new([1.0, 2.0]).median(), 1.5);
        assert_eq!(short(12345.6), "12346");
    }

    #[test]
    fn commas() {
        let written = [0, 64, 512, 4_096, 10_000, 1_234_567].map(thousands);
        assert_eq!(written, ["0", "64", "512", "4,096", "10,000", "1,234,567"]);
    }
}
