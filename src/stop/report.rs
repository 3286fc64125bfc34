//! The report of one run of a server: text for the operator's log, and fields for programs.

mod closes;

use std::{fmt, ops::AddAssign, time::Duration};

pub use self::closes::{CloseReason, Closes};

use super::{ListenerEnd, Phase};
use crate::{error::Error, peer::Peer, rounded::Rounded};

/// The requests of a run, by how they ended.
///
/// Each request that the server has accepted is either `completed` or `aborted`, so these two add up. A request that was
/// refused for its form (malformed, too large, too slow) is in neither. The other three fields count some of the
/// completed and aborted requests again:
///
/// | field | these requests are | and may be |
/// | --- | --- | --- |
/// | `completed` | all of them, together with `aborted` | |
/// | `aborted` | all of them, together with `completed` | |
/// | `rejected` | completed or aborted | not timed out |
/// | `timed_out` | completed or aborted | cancelled too |
/// | `cancelled` | completed or aborted | timed out too |
///
/// The text of a [`StopReport`] says so: `4 completed, 1 aborted (of these 1 rejected, 2 timed out); handlers
/// cancelled: 2`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Requests {
    /// The whole response was handed to the kernel.
    pub completed: u64,
    /// The connection ended before the whole response was handed to the kernel.
    pub aborted: u64,
    /// The server answered 503, because the queue was full, or because the stop came before a worker did. No handler
    /// ran.
    pub rejected: u64,
    /// The handler's context was cancelled while the handler ran. The client had gone, the route's time was over, or
    /// a stop cancelled it.
    pub cancelled: u64,
    /// The server answered in place of the handler, because the [time](crate::routing::Route::timeout) of its route was over.
    pub timed_out: u64,
}

impl Requests {
    /// The number of requests: `completed` and `aborted`.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.completed + self.aborted
    }
}

/// As in `5 completed, 1 aborted (of these 1 rejected, 2 timed out); handlers cancelled: 3`, without the zeros.
impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requests { completed, aborted, rejected, cancelled, timed_out } = *self;
        write!(f, "{completed} completed")?;
        if aborted > 0 {
            write!(f, ", {aborted} aborted")?;
        }
        let mut opening = " (of these ";
        for (count, what) in [(rejected, "rejected"), (timed_out, "timed out")] {
            if count > 0 {
                write!(f, "{opening}{count} {what}")?;
                opening = ", ";
            }
        }
        if rejected + timed_out > 0 {
            f.write_str(")")?;
        }
        if cancelled > 0 {
            write!(f, "; handlers cancelled: {cancelled}")?;
        }
        Ok(())
    }
}

impl AddAssign for Requests {
    fn add_assign(&mut self, other: Requests) {
        self.completed += other.completed;
        self.aborted += other.aborted;
        self.rejected += other.rejected;
        self.cancelled += other.cancelled;
        self.timed_out += other.timed_out;
    }
}

/// The state of a [`Straggler`] when the stop's time was over, or of something [`Pending`](super::Pending) before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stuck {
    /// The connection was in the accept queue, and there was no descriptor to accept it with.
    Accepting,
    /// The request had not arrived in full.
    Reading,
    /// No worker had begun with the request.
    Waiting,
    /// The handler had not returned. Its thread is left behind until the handler returns.
    Handling,
    /// The client had not taken the whole response.
    Writing,
    /// The content of the response had not been sent to its end.
    Streaming,
    /// Detached work had not returned ([`ServerHandle::detach`](crate::ServerHandle::detach)). Its thread is left behind.
    Detached,
    /// An event loop did not return, because an inline handler or a callback blocks the loop. Its thread is left behind.
    EventLoop,
    /// An event loop did not return, because the server's [`Observer`](crate::observe::Observer) blocks the loop. Its
    /// thread is left behind.
    Observing,
    /// A thread had nothing left to do, but did not end. The usual cause is a thread-local of a handler, whose `Drop`
    /// blocks the thread. The thread is left behind.
    Leaving,
}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stuck::Accepting => "no descriptor was left for it",
            Stuck::Reading => "had not arrived in full",
            Stuck::Waiting => "still waiting for a worker",
            Stuck::Handling => "still in its handler",
            Stuck::Writing => "response not taken by the client",
            Stuck::Streaming => "response not finished by its sender",
            Stuck::Detached => "detached, had not ended",
            Stuck::EventLoop => "blocks its event loop",
            Stuck::Observing => "blocked by the observer",
            Stuck::Leaving => "its thread does not end, a thread-local may block it",
        })
    }
}

/// A request, or a thread, that the stop did not wait for any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Straggler {
    /// The method and the target, or what is known instead.
    pub request: String,
    /// The client, where the server knows the client.
    pub peer: Option<Peer>,
    /// How long ago the request began.
    pub age: Duration,
    /// The state in which the stop left the request.
    pub stuck: Stuck,
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.request)?;
        if let Some(peer) = &self.peer {
            write!(f, " from {peer}")?;
        }
        write!(f, ": {} after {}", self.stuck, Rounded(self.age))
    }
}

/// The report of one run of a server, made when the stop is over.
///
/// `Display` writes the text for the log. With the feature `serde` a report can be written as JSON and the like, with times
/// in seconds.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct StopReport {
    /// The server's name.
    pub name: String,
    /// The phases of the stop, and how long each took. Empty for a server that was not running.
    pub phases: Vec<(Phase, Duration)>,
    /// The closed connections of the run, by reason.
    pub closes: Closes,
    /// The requests of the run, by how they ended.
    pub requests: Requests,
    /// Connections that waited in the accept queue when the listener began to close, or were on their way there. They
    /// were served, where a plain `close` would have reset them.
    pub rescued: u64,
    /// How the listeners ended. `None` if no run was stopped, or the loop that accepts did not return.
    pub listener: Option<ListenerEnd>,
    /// Errors of listeners that failed while the server [served on](crate::OnListenerFailure::ServeOn), or was stopping.
    pub listener_failures: Vec<Error>,
    /// The requests and threads that the stop left behind.
    pub stragglers: Vec<Straggler>,
    /// The error that ended the run. `None` if a stop ended it.
    pub failure: Option<Error>,
}

impl StopReport {
    /// The report of a server that was not running.
    pub(crate) fn idle(name: &str) -> StopReport {
        StopReport { name: name.to_owned(), ..StopReport::default() }
    }

    /// Whether there was a run to stop.
    #[must_use]
    pub fn was_running(&self) -> bool {
        !self.phases.is_empty()
    }

    /// Whether the stop cut nothing off: no straggler, no aborted connection, no failure, and no failed listener. A
    /// request whose client went away by itself is not cut off by the stop.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.stragglers.is_empty()
            && self.closes[CloseReason::Aborted] == 0
            && self.failure.is_none()
            && self.listener_failures.is_empty()
    }

    /// How long the stop took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.phases.iter().map(|(_, duration)| *duration).sum()
    }
}

impl fmt::Display for StopReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.was_running() {
            return write!(f, "{}: was not running", self.name);
        }
        let verdict = if self.is_clean() { "stopped cleanly" } else { "stopped, NOT cleanly" };
        write!(f, "{}: {verdict} in {} (", self.name, Rounded(self.duration()))?;
        for (position, (phase, duration)) in self.phases.iter().enumerate() {
            let comma = if position == 0 { "" } else { ", " };
            write!(f, "{comma}{phase} {}", Rounded(*duration))?;
        }
        write!(f, "); requests: {}", self.requests)?;
        write!(f, "; connections: {}", self.closes.total())?;
        let mut opening = " (";
        for (reason, count) in self.closes.iter().filter(|(_, count)| *count > 0) {
            write!(f, "{opening}{count} {reason}")?;
            opening = ", ";
        }
        if opening != " (" {
            f.write_str(")")?;
        }
        if self.rescued > 0 {
            write!(f, "; rescued from the accept queue: {}", self.rescued)?;
        }
        if let Some(end) = self.listener.filter(|end| end.can_lose()) {
            write!(f, "; listener: {end}")?;
        }
        for error in &self.listener_failures {
            write!(f, "\n  failed: {error}")?;
        }
        for straggler in &self.stragglers {
            write!(f, "\n  left behind: {straggler}")?;
        }
        if let Some(failure) = &self.failure {
            write!(f, "\n  failed: {failure}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_like_a_log_line() {
        let mut report = StopReport::idle("hello");
        assert_eq!(report.to_string(), "hello: was not running");
        report.phases = vec![(Phase::Draining, Duration::from_millis(12))];
        report.requests.completed = 3;
        report.closes.count(CloseReason::Drained);
        report.closes.count(CloseReason::Drained);
        assert!(report.is_clean());
        assert_eq!(
            report.to_string(),
            "hello: stopped cleanly in 12.0 ms (draining 12.0 ms); requests: 3 completed; \
             connections: 2 (2 drained)"
        );
        report.stragglers.push(Straggler {
            request: "GET /slow".to_owned(),
            peer: None,
            age: Duration::from_secs(6),
            stuck: Stuck::Handling,
        });
        assert!(!report.is_clean());
        assert!(report.to_string().ends_with("left behind: GET /slow: still in its handler after 6.00 s"));
    }

    #[test]
    fn words_that_overlap_say_so() {
        let mut requests = Requests { completed: 4, ..Requests::default() };
        assert_eq!(requests.to_string(), "4 completed");
        requests.timed_out = 2;
        requests.cancelled = 2;
        assert_eq!(requests.to_string(), "4 completed (of these 2 timed out); handlers cancelled: 2");
        requests.aborted = 1;
        requests.rejected = 1;
        assert_eq!(
            requests.to_string(),
            "4 completed, 1 aborted (of these 1 rejected, 2 timed out); handlers cancelled: 2"
        );
        assert_eq!(requests.total(), 5);
        requests = Requests { aborted: 1, cancelled: 1, ..Requests::default() };
        assert_eq!(requests.to_string(), "0 completed, 1 aborted; handlers cancelled: 1");
    }
}
