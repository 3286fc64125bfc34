//! The results of all replacements of one strategy: a row of the table.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use super::{
    Replacement, Strategy,
    load::{Answer, Seen},
};
use crate::{stops::client::Tally, table::Table};

/// The meaning of the columns, for readers of the table.
pub const LEGEND: &str = "\
Every request has one outcome. docs/check.md of softstop defines them, under \"What counts as lost\".
not 200: of those answered. unheard: the connect had no answer within 3.5 s. timed out: no whole response within 10 s.
gap: the longest time between two answers to new clients, in ms. p50, p99, p99.9, max: latency of new clients from the
moment when the request was due, in ms; of those that were answered. replaced: from the request for the replacement until
the old process was gone, in ms; the slow requests take 1000 ms. unclean: exit statuses other than 0.
";

/// The most losses that are described, because further losses look the same.
const DESCRIBED: usize = 20;

#[derive(Debug, Serialize)]
pub struct Row {
    pub strategy: Strategy,
    pub replacements: usize,
    pub(super) tally: Tally,
    pub not_200: u64,
    pub gap_ms: f64,
    /// p50, p99, p99.9 and the maximum.
    pub latency_ms: [f64; 4],
    /// The median and the maximum.
    pub replaced_ms: [f64; 2],
    pub unclean_exits: usize,
    /// Each loss, and each unclean exit, in words.
    pub stories: Vec<String>,
}

impl Row {
    pub(super) fn new(strategy: Strategy, seen: Seen, replacements: &[Replacement]) -> Row {
        let unclean: Vec<_> =
            replacements.iter().filter(|replacement| !replacement.exit.is_clean()).collect();
        let mut stories: Vec<String> = unclean
            .iter()
            .map(|replacement| format!("an old process ended with {}", replacement.exit))
            .collect();
        for loss in seen.losses.iter().take(DESCRIBED) {
            // The times are relative to the replacement before.
            let before = replacements.iter().rev().find(|replacement| replacement.asked <= loss.at);
            let asked = before.map_or(loss.at, |replacement| replacement.asked);
            let (requests, outcome, kind) = (loss.requests, loss.outcome.word(), loss.kind);
            stories.push(format!("{requests} {outcome} ({kind:?}): {}", loss.story.tell(asked).join("; ")));
        }
        let latencies = seen.answers.iter().map(|answer| answer.latency);
        let took = replacements.iter().map(|replacement| replacement.took);
        Row {
            strategy,
            replacements: replacements.len(),
            tally: seen.tally,
            not_200: seen.not_200,
            gap_ms: milliseconds(longest_gap(&seen.answers)),
            latency_ms: quantiles(latencies, [0.5, 0.99, 0.999, 1.0]),
            replaced_ms: quantiles(took, [0.5, 1.0]),
            unclean_exits: unclean.len(),
            stories,
        }
    }

    /// Whether every request was answered, or could be sent again without a doubt.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        let Tally { lost, dropped, timed_out, unheard, refused, .. } = self.tally;
        lost + dropped + timed_out + unheard + refused + self.not_200 == 0 && self.unclean_exits == 0
    }

    /// The counts in one line.
    #[must_use]
    pub fn words(&self) -> String {
        self.tally.words()
    }

    /// An empty table for rows.
    #[must_use]
    pub fn table() -> Table {
        Table::new(
            1,
            &[
                "strategy",
                "times",
                "requests",
                "answered",
                "not 200",
                "refused",
                "lost",
                "dropped",
                "timed out",
                "unheard",
                "late",
                "told",
                "gap",
                "p50",
                "p99",
                "p99.9",
                "max",
                "replaced p50",
                "max",
                "unclean",
            ],
        )
    }

    /// The cells of this row.
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let Tally { answered, lost, dropped, late, told, refused, unheard, timed_out, .. } = self.tally;
        let mut cells = vec![self.strategy.words().to_owned(), self.replacements.to_string()];
        cells.extend(
            [
                self.tally.requests(),
                answered,
                self.not_200,
                refused,
                lost,
                dropped,
                timed_out,
                unheard,
                late,
                told,
            ]
            .map(|count| count.to_string()),
        );
        cells.push(format!("{:.1}", self.gap_ms));
        cells.extend(self.latency_ms.map(|ms| format!("{ms:.2}")));
        cells.extend(self.replaced_ms.map(|ms| if ms == 0.0 { "-".to_owned() } else { format!("{ms:.0}") }));
        cells.push(self.unclean_exits.to_string());
        cells
    }
}

/// The longest time between two answers that follow each other.
fn longest_gap(answers: &[Answer]) -> Duration {
    let at: Vec<Instant> = answers.iter().map(|answer| answer.at).collect();
    at.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

/// Some quantiles, in milliseconds.
fn quantiles<const N: usize>(times: impl Iterator<Item = Duration>, quantiles: [f64; N]) -> [f64; N] {
    let mut histogram = Histogram::<u64>::new(3).expect("three digits are allowed");
    for time in times {
        let microseconds = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        histogram.record(microseconds).expect("it resizes itself");
    }
    quantiles.map(|quantile| histogram.value_at_quantile(quantile) as f64 / 1e3)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_one() {
        let since = Instant::now();
        let answers = [0, 2, 40, 41]
            .map(|ms| Answer { at: since + Duration::from_millis(ms), latency: Duration::from_millis(1) });
        assert_eq!(longest_gap(&answers), Duration::from_millis(38));
        assert_eq!(longest_gap(&[]), Duration::ZERO);
    }

    #[test]
    fn quantiles_of_nothing_are_zero() {
        assert_eq!(quantiles([].into_iter(), [0.5, 1.0]), [0.0, 0.0]);
        let times = (1..=100).map(Duration::from_millis);
        assert_eq!(quantiles(times, [0.5]).map(f64::round), [50.0]);
    }
}
