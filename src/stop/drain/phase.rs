//! The phases of a stop, in their order.

use std::fmt;

/// Where a server is between its start and its end. The order of the variants is the order in time: a stop never goes back.
///
/// [`StopPolicy`](crate::StopPolicy) sets how long each phase may last. Draining and cancelling end early when nothing is in
/// flight any more. The lame duck phase always lasts for its whole time, unless a stricter stop shortens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The server serves, and nobody has asked for a stop.
    Running,
    /// The server still accepts and serves. Readiness says no, and every response says `Connection: close`. See
    /// [`StopPolicy::lame_duck`](crate::StopPolicy::lame_duck).
    LameDuck,
    /// The server does not accept new clients any more. Requests in flight finish. See
    /// [`StopPolicy::grace`](crate::StopPolicy::grace).
    Draining,
    /// The contexts of the remaining handlers are cancelled, and the handlers have time to return. See
    /// [`StopPolicy::cancel_grace`](crate::StopPolicy::cancel_grace).
    Cancelling,
    /// The server serves nothing.
    Stopped,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Running => "running",
            Phase::LameDuck => "lame duck",
            Phase::Draining => "draining",
            Phase::Cancelling => "cancelling",
            Phase::Stopped => "stopped",
        })
    }
}
