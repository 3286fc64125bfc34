//! The part of a recording that the picture shows, and the position of a time on it.
//!
//! ```text
//!   recording  |-------------------------------------------------------------------|
//!   stops               |--|                                      |---|
//!                                                                    |----| (another server's: the same stop)
//!   window                                       |----- lead -----|-------|
//! ```
//!
//! The picture is about the last stop. So the stop fills a good part of it, however long the server served before.

use std::time::Duration;

use super::{LEFT, RIGHT};
use crate::observe::recording::{Recording, Run, Server};

/// The least lead if no request was in flight during the stop, so that the last requests before it are seen.
const LEAST_LEAD: Duration = Duration::from_secs(2);
/// How much of a recording without a stop is shown.
const WITHOUT_STOP: Duration = Duration::from_secs(10);
/// Servers that are asked to stop within this time stop together, even if each has stopped before the next is asked.
const TOGETHER: Duration = Duration::from_millis(100);
/// The least length of a window, which is never zero, because it is a divisor.
const SHORTEST: Duration = Duration::from_micros(10);
/// The part of the whole that is left free at the right, so that the last marks are not cut in half.
const MARGIN: f64 = 0.03;

/// The part of the recording that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from: Duration,
    pub(super) until: Duration,
    /// When the last stop was asked for. Times are counted from it.
    pub(super) stop: Option<Duration>,
}

impl Window {
    pub(super) fn of(recording: &Recording) -> Window {
        let runs = || recording.servers.iter().flat_map(|server| &server.runs);
        let Some((asked, until)) = last_stop(recording) else {
            let until = recording.until.max(recording.from + SHORTEST);
            let from = recording.from.max(until.saturating_sub(WITHOUT_STOP));
            return Window { from, until, stop: None };
        };
        let took = (until - asked).max(SHORTEST);
        let in_flight = runs().flat_map(Run::requests).filter(|request| {
            request.began().is_some_and(|began| began < until)
                && request.ended.is_none_or(|ended| ended > asked)
        });
        let oldest = in_flight.filter_map(|request| request.began()).min();
        // Twice as long as the stop, or as far back as the requests in flight reach, but at most four times the stop.
        let lead = match oldest {
            Some(oldest) => (took * 2).max((asked.saturating_sub(oldest) * 17 / 16).min(took * 4)),
            None => (took * 2).max(LEAST_LEAD),
        };
        let from = asked.saturating_sub(lead).max(recording.from).min(asked);
        Window { from, until: until.max(asked + SHORTEST), stop: Some(asked) }
    }

    /// Whether the window shows something that lasted from one time to the other.
    pub(super) fn shows(&self, from: Duration, until: Duration) -> bool {
        from <= self.until && until >= self.from
    }

    /// The position of a time. For a time outside of the window: the nearest edge.
    pub(super) fn x(&self, at: Duration) -> f64 {
        let at = at.clamp(self.from, self.until) - self.from;
        let share = at.as_secs_f64() / (self.until - self.from).as_secs_f64();
        LEFT + (RIGHT - LEFT) * (1.0 - MARGIN) * share
    }

    /// The times of the marks of the axis, and their texts, counted from the stop or from the window's beginning.
    pub(super) fn ticks(&self) -> Vec<(Duration, String)> {
        let length = (self.until - self.from).as_nanos();
        // The smallest round step that fits in eight times or fewer.
        let decades = (0..).map(|exponent| 10_u128.pow(exponent));
        let mut steps = decades.flat_map(|decade| [decade, 2 * decade, 5 * decade]);
        let step = steps.find(|step| length / step <= 8).unwrap_or(u128::MAX);
        let zero = self.stop.unwrap_or(self.from);
        let nanoseconds = |number: u128| Duration::from_nanos(u64::try_from(number).unwrap_or(u64::MAX));
        let before = (zero - self.from).as_nanos() / step;
        let after = (self.until - zero).as_nanos() / step;
        let before = (1..=before).rev().map(|number| {
            let distance = number * step;
            (zero - nanoseconds(distance), format!("\u{2212}{}", tick(distance, step)))
        });
        let after = (0..=after).map(|number| {
            let distance = number * step;
            (zero + nanoseconds(distance), tick(distance, step))
        });
        before.chain(after).collect()
    }
}

/// The last stop of all servers, from its beginning to its end. Stops that follow each other closely are one.
fn last_stop(recording: &Recording) -> Option<(Duration, Duration)> {
    let stop = |run: &Run| Some((run.stop_asked()?, run.ended.unwrap_or(recording.until)));
    let last_stop = |server: &Server| server.runs.iter().rev().find_map(stop);
    let mut stops: Vec<_> = recording.servers.iter().filter_map(last_stop).collect();
    stops.sort_unstable_by_key(|&(asked, ended)| (ended, asked));
    let (mut asked, ended) = stops.pop()?;
    while let Some((earlier, _)) = stops.pop().filter(|&(_, ended)| ended + TOGETHER >= asked) {
        asked = asked.min(earlier);
    }
    Some((asked, ended))
}

/// A multiple of a step, in the unit of the step.
fn tick(distance: u128, step: u128) -> String {
    match step {
        _ if distance == 0 => "0".to_owned(),
        1_000_000_000.. => format!("{} s", distance / 1_000_000_000),
        100_000_000.. => format!("{}.{} s", distance / 1_000_000_000, distance / 100_000_000 % 10),
        1_000_000.. => format!("{} ms", distance / 1_000_000),
        1000.. => format!("{} \u{b5}s", distance / 1000),
        _ => format!("{distance} ns"),
    }
}
