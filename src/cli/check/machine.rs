//! How busy this machine is. A server that needs a second on a quiet machine may need ten beside a build, and then a stop
//! that is not over in time says nothing about the server.
//!
//! Linux counts the time in which some thread waited for a processor: pressure stall information.

use std::{
    fs,
    time::{Duration, Instant},
};

/// The part of a time in which some thread waited for a processor, from which on the machine counts as busy.
const BUSY: f64 = 0.5;

/// A time that is measured from its beginning.
#[derive(Debug)]
pub(super) struct Watch {
    began: Instant,
    /// `None` if this kernel does not count.
    waited: Option<Duration>,
}

impl Watch {
    pub(super) fn begin() -> Watch {
        Watch { began: Instant::now(), waited: waited() }
    }

    /// Whether the machine has been busy since the beginning. A machine that does not count is never busy.
    pub(super) fn was_busy(&self) -> bool {
        let waited = waited().zip(self.waited).map(|(now, before)| now.saturating_sub(before));
        waited.is_some_and(|waited| waited > self.began.elapsed().mul_f64(BUSY))
    }
}

/// The whole time, since the start of the machine, in which some thread waited for a processor.
fn waited() -> Option<Duration> {
    parse(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn parse(text: &str) -> Option<Duration> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let total = some.split(' ').find_map(|word| word.strip_prefix("total="))?;
    Some(Duration::from_micros(total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_of_waiting_threads_is_read() {
        let text = "some avg10=1.50 avg60=0.00 avg300=0.00 total=2500\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
        assert_eq!(parse(text), Some(Duration::from_micros(2500)));
        assert_eq!(parse("full avg10=0.00 total=7\n"), None);
    }

    #[test]
    fn a_machine_is_busy_if_threads_waited_for_most_of_the_time() {
        let Some(began) = Instant::now().checked_sub(Duration::from_secs(60)) else { return };
        let Some(waited) = waited() else { return };
        assert!(!Watch { began, waited: None }.was_busy());
        // Threads cannot wait for a minute between these two lines, but they have waited since the machine started.
        assert!(!Watch { began, waited: Some(waited) }.was_busy());
        let before = waited.checked_sub(Duration::from_secs(40));
        assert!(before.is_none_or(|before| Watch { began, waited: Some(before) }.was_busy()));
    }
}
