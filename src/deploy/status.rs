//! Each second of a stop, one line that says what the stop waits for: for the log, and as the status of the service.

use std::time::{Duration, Instant};

use super::Notify;
use crate::{group::GroupHandle, isolation::journal, stop::Phase};

/// The time between two lines. A stop that takes less has none.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the supervisor waits for the next message, once its own time-out is over: some lines, so that one may be late.
const EXTENSION: Duration = Duration::from_secs(5);

/// Says what the stop waits for, until the group is over. Called on a thread that exists only during the stop.
///
/// The log has no line of the lame duck phase, because that phase waits for nothing but its time.
pub(super) fn follow(group: &GroupHandle, notify: Option<&Notify>) {
    let mut next = Instant::now() + INTERVAL;
    while !group.wait_over(next) {
        let progress = group.progress();
        if progress.phase != Phase::LameDuck {
            journal::info!("{progress}");
        }
        if let Some(notify) = notify {
            notify.status(&progress.to_string());
            // The stop has a bound of its own. Beyond it, the supervisor's time-out decides.
            if progress.time_left.is_some_and(|left| !left.is_zero()) {
                notify.extend_timeout(EXTENSION);
            }
        }
        next = (next + INTERVAL).max(Instant::now());
    }
}
