//! A connection as a stop sees it, and how long it may stay.
//!
//! ```text
//!   Quiet ------ first byte of a request ------> InHead ------ head complete ------> InFlight
//!     ^                                                                                 |
//!     +------------------ response written, connection kept alive ----------------------+
//!                                                                                       |
//!                         response written, connection to be closed                     v
//!                                                                                   Lingering
//! ```

use std::time::Instant;

use super::Rhythm;
use crate::stop::CloseReason;

/// What a stop has to know of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    /// The server owes the client nothing, and no byte of a further request has arrived since this instant.
    Quiet {
        since: Instant,
        /// How long the client has paused between its requests so far.
        rhythm: Rhythm,
    },
    /// The first byte of a head arrived at this instant, and the head is not complete.
    InHead { since: Instant },
    /// The content of a request is arriving, or its response is not yet written.
    InFlight,
    /// The server has closed its side, for this reason, and waits for the client (a lingering close).
    Lingering(CloseReason),
}

/// How long a stop lets a connection stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The stop changes nothing: the connection has the time that it has anyway, until the loop cuts everything off.
    Keep,
    /// The loop closes the connection at this instant, unless a byte of a request arrives before:
    /// [`CloseReason::Drained`].
    CloseAt(Instant),
    /// The loop refuses the request at this instant, unless its head is complete before: [`CloseReason::RequestTimeout`].
    RefuseAt(Instant),
}

impl ConnectionState {
    /// The reason to report if the loop cuts the connection off in this state.
    pub(crate) fn reason_at_the_end(self) -> CloseReason {
        match self {
            ConnectionState::Lingering(reason) => reason,
            ConnectionState::Quiet { .. } => CloseReason::Drained,
            ConnectionState::InHead { .. } | ConnectionState::InFlight => CloseReason::Aborted,
        }
    }
}
