//! How the listeners of a server ended: which way a closing listener kept new clients away says whether a client of that
//! moment can have been lost, so it stands in the report.

use std::fmt;

/// How the listeners of a server ended. Of several listeners the report tells the one that can have lost the most; the
/// variants are in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ListenerEnd {
    /// The listener was kept for the next start ([`StopPolicy::keep_listener`](crate::StopPolicy::keep_listener)). Clients
    /// that connect wait in its accept queue.
    Kept,
    /// Other processes hold the listener too. The server left it to them, with everything in its accept queue.
    Left,
    /// From the beginning of the drain the kernel refused new clients at once. Everybody who had begun a handshake before
    /// was accepted, unless the client stayed silent for longer than the listener waits. (While the kernel uses SYN cookies,
    /// a client whose last packet of the handshake came after that moment was reset.)
    Refused,
    /// From the beginning of the drain the kernel dropped the SYNs of new clients, which repeat them a second later and
    /// are refused then. Everybody who had begun a handshake before was accepted.
    Dropped,
    /// The kernel offers neither of the two here. The listener was closed once its accept queue was empty; clients that
    /// connected at that moment were reset.
    Emptied,
    /// The stop left no time to empty the accept queue. Clients in it were reset.
    CutOff,
    /// The listener failed: the kernel does not accept from it any more. Clients in its accept queue were reset.
    Failed,
}

impl ListenerEnd {
    /// All of them, in their order.
    pub const ALL: &[ListenerEnd] = &[
        ListenerEnd::Kept,
        ListenerEnd::Left,
        ListenerEnd::Refused,
        ListenerEnd::Dropped,
        ListenerEnd::Emptied,
        ListenerEnd::CutOff,
        ListenerEnd::Failed,
    ];

    /// Whether clients that connected while the listener ended can have been reset.
    #[must_use]
    pub fn can_lose(self) -> bool {
        self >= ListenerEnd::Emptied
    }

    /// One word, for data that other programs read.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            ListenerEnd::Kept => "kept",
            ListenerEnd::Left => "left",
            ListenerEnd::Refused => "refused",
            ListenerEnd::Dropped => "dropped",
            ListenerEnd::Emptied => "emptied",
            ListenerEnd::CutOff => "cut off",
            ListenerEnd::Failed => "failed",
        }
    }
}

impl fmt::Display for ListenerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ListenerEnd::Kept => "kept for the next start",
            ListenerEnd::Left => "left to the other processes that hold it",
            ListenerEnd::Refused => "refused new clients",
            ListenerEnd::Dropped => "dropped the SYNs of new clients",
            ListenerEnd::Emptied => "could not refuse new clients: those of that moment may have been reset",
            ListenerEnd::CutOff => "had no time: clients in its accept queue were reset",
            ListenerEnd::Failed => "failed: clients in its accept queue were reset",
        })
    }
}
