//! The supervisor's watchdog: a message while every event loop turns, and no message once a loop is blocked.
//!
//! ```text
//!   wait for half the interval ──> ask every loop ── all have turned ──> WATCHDOG=1 ──> wait again
//!           ^                            │
//!           │                            └── a loop has not turned ──> the log says so, ask again at once
//!           └── the group is over: the thread ends
//! ```
//!
//! The answers have time until the supervisor has lost its patience, so a loop that was only slow is still in time. The thread exists only if the supervisor asks for it, and sleeps on a condition variable. Each interval costs every
//! loop two turns.

use std::{
    env,
    ffi::OsString,
    io, process,
    time::{Duration, Instant},
};

use super::Notify;
use crate::{engine::run::RollCall, error::Error, group::GroupHandle, isolation::journal, rounded::Rounded};

/// How often the supervisor wants to be told, by `WATCHDOG_USEC`. `None` if it does not, or wants it of another process
/// (`WATCHDOG_PID`).
pub(super) fn interval() -> Result<Option<Duration>, Error> {
    parse(env::var_os("WATCHDOG_USEC"), env::var_os("WATCHDOG_PID"), process::id())
}

fn parse(
    interval: Option<OsString>,
    watched: Option<OsString>,
    this_process: u32,
) -> Result<Option<Duration>, Error> {
    let number = |name: &str, value: OsString, expected: &'static str| {
        let parsed = value.to_str().and_then(|text| text.parse::<u64>().ok()).filter(|number| *number > 0);
        parsed.ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::InvalidInput, expected);
            Error::io(format!("{name}={}", value.to_string_lossy()), error)
        })
    };
    let is_set = |value: &OsString| !value.is_empty();
    let Some(interval) = interval.filter(is_set) else { return Ok(None) };
    if let Some(watched) = watched.filter(is_set)
        && number("WATCHDOG_PID", watched, "expected the number of a process")? != u64::from(this_process)
    {
        return Ok(None);
    }
    number("WATCHDOG_USEC", interval, "expected a number of microseconds, from 1 on")
        .map(|microseconds| Some(Duration::from_micros(microseconds)))
}

/// Tells the supervisor that the service is alive, until the group is over. The supervisor ends a service that is silent for the
/// whole interval.
pub(super) fn watch(group: &GroupHandle, notify: &Notify, interval: Duration) {
    let half = interval / 2;
    loop {
        if group.wait_over(Instant::now() + half) {
            return;
        }
        while !have_turned(&group.ask_for_a_turn(), Instant::now() + half) {
            let waited = Rounded(half);
            journal::error!(
                "an event loop has not turned for {waited}: the supervisor's watchdog is not told"
            );
            if group.wait_over(Instant::now()) {
                return;
            }
        }
        notify.alive();
    }
}

fn have_turned(asked: &[RollCall], deadline: Instant) -> bool {
    asked.iter().all(|server| server.wait_until(deadline).0 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(interval: &str, watched: Option<&str>) -> Result<Option<Duration>, String> {
        parse(Some(interval.into()), watched.map(OsString::from), 7).map_err(|error| error.to_string())
    }

    #[test]
    fn the_interval_is_for_this_process_or_for_any() {
        assert_eq!(parsed("20000000", None), Ok(Some(Duration::from_secs(20))));
        assert_eq!(parsed("1", Some("7")), Ok(Some(Duration::from_micros(1))));
        assert_eq!(parsed("1", Some("")), Ok(Some(Duration::from_micros(1))));
        assert_eq!(parsed("20000000", Some("8")), Ok(None));
        assert_eq!(parsed("", Some("8")), Ok(None));
        assert!(parse(None, Some("7".into()), 7).unwrap().is_none());
    }

    #[test]
    fn wrong_values_say_what_was_expected() {
        for wrong in ["0", "-1", "20s", "1.5", "99999999999999999999"] {
            let expected = format!("WATCHDOG_USEC={wrong}: expected a number of microseconds, from 1 on");
            assert_eq!(parsed(wrong, None), Err(expected));
        }
        let error = parsed("1", Some("self")).unwrap_err();
        assert_eq!(error, "WATCHDOG_PID=self: expected the number of a process");
    }
}
