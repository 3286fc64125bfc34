//! Distributions of times. An average is not enough, because it hides the slow cases that users notice.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::rounded::Rounded;

/// The longest time that is recorded exactly. Longer ones count as this time.
const LONGEST: Duration = Duration::from_secs(600);
/// Significant decimal digits. A precision of 0.1 % costs a quarter of a megabyte.
const DIGITS: u8 = 3;

/// A histogram of times. Its size does not depend on the number of times.
#[derive(Debug, Clone)]
pub(crate) struct Distribution(Histogram<u64>);

impl Distribution {
    pub(crate) fn new() -> Distribution {
        let longest = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let histogram = Histogram::new_with_bounds(1, longest, DIGITS);
        Distribution(histogram.expect("1 is less than half of ten minutes, and 3 digits are fewer than 6"))
    }

    pub(crate) fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time within which this share of all samples lies.
    pub(crate) fn quantile(&self, quantile: f64) -> Duration {
        Duration::from_nanos(self.0.value_at_quantile(quantile))
    }

    pub(crate) fn summary(&self) -> Summary {
        let at = |quantile| self.0.value_at_quantile(quantile);
        Summary {
            count: self.0.len(),
            // The histogram is coarser than a nanosecond, so nothing is lost.
            mean_ns: self.0.mean() as u64,
            min_ns: if self.0.is_empty() { 0 } else { self.0.min() },
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p99_9_ns: at(0.999),
            p99_99_ns: at(0.9999),
            max_ns: self.0.max(),
        }
    }
}

/// A distribution in a few figures, all zero if there are no samples. If there are too few samples for a quantile, the
/// figure is the maximum here, and a dash in a table.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    mean_ns: u64,
    min_ns: u64,
    p50_ns: u64,
    p90_ns: u64,
    p99_ns: u64,
    p99_9_ns: u64,
    p99_99_ns: u64,
    max_ns: u64,
}

impl Summary {
    /// The titles of the columns of [`cells`](Summary::cells).
    pub(crate) const TITLES: [&'static str; 7] = ["count", "p50", "p90", "p99", "p99.9", "p99.99", "max"];

    pub(crate) fn cells(&self) -> [String; 7] {
        let &Summary { count, p50_ns, p90_ns, p99_ns, p99_9_ns, p99_99_ns, max_ns, .. } = self;
        // With fewer samples than `one_in` the quantile would only repeat the maximum.
        let time = |one_in, nanoseconds| {
            if count < one_in {
                "-".to_owned()
            } else {
                Rounded(Duration::from_nanos(nanoseconds)).to_string()
            }
        };
        [
            count.to_string(),
            time(1, p50_ns),
            time(10, p90_ns),
            time(100, p99_ns),
            time(1_000, p99_9_ns),
            time(10_000, p99_99_ns),
            time(1, max_ns),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_times() {
        let mut times = Distribution::new();
        (1..=1000).for_each(|ms| times.record(Duration::from_millis(ms)));
        for (quantile, ms) in [(0.5, 500.0), (0.9, 900.0), (0.999, 999.0), (1.0, 1000.0)] {
            let found = times.quantile(quantile).as_secs_f64() * 1e3;
            assert!((found / ms - 1.0).abs() < 2e-3, "{quantile}: {found}");
        }
        assert_eq!(times.summary().count, 1000);
    }

    #[test]
    fn no_time_is_too_short_or_too_long() {
        let mut times = Distribution::new();
        times.record(Duration::ZERO);
        times.record(Duration::MAX);
        assert_eq!(times.count(), 2);
        assert!(times.quantile(1.0) >= LONGEST);
        assert_eq!(Distribution::new().summary().cells()[..2], ["0", "-"]);
    }

    #[test]
    fn a_quantile_of_too_few_is_not_told() {
        let mut times = Distribution::new();
        for (until, told) in [(9, 1), (99, 2), (999, 3), (9_999, 4), (10_000, 5)] {
            (times.count()..until).for_each(|_| times.record(Duration::from_secs(1)));
            let cells = times.summary().cells();
            let times = cells[1..6].iter().take_while(|cell| *cell != "-").count();
            assert_eq!((times, &*cells[6]), (told, "1.00 s"), "{until}");
        }
    }
}
