//! Why connections were closed, and how many were closed for each reason.

use std::{
    fmt,
    ops::{AddAssign, Index},
};

/// Why a connection was closed. Every closed connection has one reason, and the [`StopReport`](crate::report::StopReport)
/// counts the reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client closed the connection between two requests.
    PeerClosed,
    /// The client closed or reset the connection while the server owed it a response.
    ClientGone,
    /// The last response had said `Connection: close`, as the request or its version wanted.
    Completed,
    /// The server refused a malformed or too large request.
    Refused,
    /// A request did not arrive in time.
    RequestTimeout,
    /// No further request came in time.
    IdleTimeout,
    /// The client took no byte of a response in time, or took the response too slowly.
    WriteTimeout,
    /// The server stopped, and owed the client nothing.
    Drained,
    /// The stop's time was over, and the server still owed the client something.
    Aborted,
    /// The socket had another error.
    Failed,
    /// The content of a response was not finished: its sender has aborted the content, or its reader has failed.
    BodyFailed,
    /// The connection was handed over to its handler, for another protocol. The stop still waits for the handler.
    Upgraded,
    /// The connection had reached its [maximum age](crate::ServerBuilder::max_connection_age): the last response had said
    /// `Connection: close`, or the client had been silent for long.
    MaxAge,
}

impl CloseReason {
    /// All reasons, in the order in which a report lists them.
    pub const ALL: &'static [CloseReason] = &[
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
        CloseReason::MaxAge,
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
            CloseReason::MaxAge => "max age",
        })
    }
}

/// How many connections were closed for each [`CloseReason`]. Each closed connection is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closes([u64; CloseReason::ALL.len()]);

impl Closes {
    /// `counts` has the order of [`CloseReason::ALL`].
    pub(crate) fn new(counts: [u64; CloseReason::ALL.len()]) -> Closes {
        Closes(counts)
    }

    #[cfg(test)]
    pub(crate) fn count(&mut self, reason: CloseReason) {
        self.0[reason as usize] += 1;
    }

    /// The number of closed connections.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each reason and its count, the zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (CloseReason, u64)> + '_ {
        CloseReason::ALL.iter().map(|reason| (*reason, self[*reason]))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_listed_where_they_are_counted() {
        for (position, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, position, "{reason}");
        }
    }
}
