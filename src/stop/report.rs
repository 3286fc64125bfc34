//! What a run of a server came to: for the operator's log and for programs.

use std::{
    fmt,
    net::SocketAddr,
    ops::{AddAssign, Index},
    time::Duration,
};

use super::{ListenerEnd, Phase};
use crate::{error::Error, rounded::Rounded};

/// Why a connection was closed. Every connection that closes has one, and the [`StopReport`] counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The peer closed it between two requests.
    PeerClosed,
    /// The peer closed or reset it while it was owed something.
    ClientGone,
    /// The last response had said `Connection: close`, as the request or its version wanted.
    Completed,
    /// A malformed or too large request was refused.
    Refused,
    /// A request did not arrive in time.
    RequestTimeout,
    /// No further request came in time.
    IdleTimeout,
    /// The peer took no byte of a response in time.
    WriteTimeout,
    /// The server stopped; nothing was owed.
    Drained,
    /// The stop's time was over, though something was owed.
    Aborted,
    /// Something else went wrong with the socket.
    Failed,
    /// The content of a response came to no proper end: its sender has aborted it, or its reader has failed.
    BodyFailed,
    /// It was handed over to its handler, for another protocol. The stop still waits for that.
    Upgraded,
}

impl CloseReason {
    /// All of them, in the order in which a report lists them.
    pub const ALL: [CloseReason; 12] = [
        CloseReason::PeerClosed,
        CloseReason::ClientGone,
        CloseReason::Completed,
        CloseReason::Refused,
        CloseReason::RequestTimeout,
        CloseReason::IdleTimeout,
        CloseReason::WriteTimeout,
        CloseReason::Drained,
        CloseReason::Aborted,
        CloseReason::Failed,
        CloseReason::BodyFailed,
        CloseReason::Upgraded,
    ];
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CloseReason::PeerClosed => "closed by the peer",
            CloseReason::ClientGone => "client gone",
            CloseReason::Completed => "completed",
            CloseReason::Refused => "refused",
            CloseReason::RequestTimeout => "request timed out",
            CloseReason::IdleTimeout => "idle",
            CloseReason::WriteTimeout => "not read by the peer",
            CloseReason::Drained => "drained",
            CloseReason::Aborted => "aborted",
            CloseReason::Failed => "failed",
            CloseReason::BodyFailed => "response cut short",
            CloseReason::Upgraded => "upgraded",
        })
    }
}

/// How many connections were closed for each [`CloseReason`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closes([u64; CloseReason::ALL.len()]);

impl Closes {
    /// Counts in the order of [`CloseReason::ALL`].
    pub(crate) fn new(counts: [u64; CloseReason::ALL.len()]) -> Closes {
        Closes(counts)
    }

    #[cfg(test)]
    pub(crate) fn count(&mut self, reason: CloseReason) {
        self.0[reason as usize] += 1;
    }

    /// All connections that were closed.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason and its count, the zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        CloseReason::ALL.into_iter().map(|reason| (reason, self[reason]))
    }
}

impl AddAssign for Closes {
    fn add_assign(&mut self, other: Closes) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, more)| *sum += more);
    }
}

impl Index<CloseReason> for Closes {
    type Output = u64;

    fn index(&self, reason: CloseReason) -> &u64 {
        &self.0[reason as usize]
    }
}

/// What became of the requests of a run. One that was not refused for its form is either completed or aborted; some of the
/// completed were rejected or timed out, and some of both had their handler cancelled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// The whole response was handed to the kernel.
    pub completed: u64,
    /// The connection ended before that.
    pub aborted: u64,
    /// Answered 503 because the queue was full, or because the stop came before a worker did.
    pub rejected: u64,
    /// The handler's context was cancelled while it ran, because its client had gone, or its route's time or the grace
    /// period was over.
    pub cancelled: u64,
    /// Answered without the handler, because the [time](crate::routing::Route::timeout) of its route was over.
    pub timed_out: u64,
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

/// Where a [`Straggler`] was when the stop's time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stuck {
    /// It was in the accept queue, and there was no descriptor to accept it with.
    Accepting,
    /// The request had not arrived in full.
    Reading,
    /// No worker had begun with it.
    Waiting,
    /// Its handler had not returned. If it never does, its thread is left behind.
    Handling,
    /// The client had not taken the whole response.
    Writing,
    /// The content of its response had not been sent to its end.
    Streaming,
    /// Detached work had not returned ([`ServerHandle::detach`](crate::ServerHandle::detach)). Its thread is left behind.
    Detached,
    /// An event loop did not return: an inline handler, or a callback, blocks it. Its thread is left behind.
    EventLoop,
    /// An event loop did not return: the server's [`Observer`](crate::observe::Observer) blocks it. Its thread is left
    /// behind.
    Observing,
    /// A thread had nothing left to do, but did not end: a thread-local that a handler has set blocks it when it is
    /// dropped. The thread is left behind.
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

/// A request that the stop did not wait for any longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Straggler {
    /// The method and the target, or what is known instead.
    pub request: String,
    /// The client, where it is known.
    pub peer: Option<SocketAddr>,
    /// How long ago the request began.
    pub age: Duration,
    /// What it was waiting for.
    pub stuck: Stuck,
}

impl fmt::Display for Straggler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.request)?;
        if let Some(peer) = self.peer {
            write!(f, " from {peer}")?;
        }
        write!(f, ": {} after {}", self.stuck, Rounded(self.age))
    }
}

/// What a run of a server came to. Its `Display` is what belongs in the log; with the feature `serde` it can be written as
/// JSON and the like, times in seconds.
#[derive(Debug, Clone, Default)]
pub struct StopReport {
    /// The server's name.
    pub name: String,
    /// The phases that the stop went through and how long each took; empty for a server that was not running.
    pub phases: Vec<(Phase, Duration)>,
    /// The connections of the run, by the reason for which they were closed.
    pub closes: Closes,
    /// The requests of the run.
    pub requests: Requests,
    /// Connections that waited in the accept queue when the listener began to close, or were on their way there, and
    /// were served: a plain `close` would have reset them.
    pub rescued: u64,
    /// How the listeners ended. `None` if no run was stopped, or the loop that accepts did not return.
    pub listener: Option<ListenerEnd>,
    /// Listeners that failed while the server [served on](crate::OnListenerFailure::ServeOn), or was stopping already.
    pub listener_failures: Vec<Error>,
    /// What the stop left behind.
    pub stragglers: Vec<Straggler>,
    /// Why the run ended, where it was not a stop that ended it.
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

    /// Whether nothing was cut off: no straggler, no connection aborted, no failure, also of a listener. (Requests whose clients went away
    /// by themselves do not count against it.)
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
        let Requests { completed, aborted, rejected, cancelled, timed_out } = self.requests;
        write!(f, "); requests: {completed} completed")?;
        let others = [
            (aborted, "aborted"),
            (rejected, "rejected"),
            (timed_out, "timed out"),
            (cancelled, "cancelled"),
        ];
        for (count, what) in others {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
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
        report.closes.0[CloseReason::Drained as usize] += 2;
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
    fn reasons_are_listed_where_they_are_counted() {
        for (position, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, position, "{reason}");
        }
    }
}
