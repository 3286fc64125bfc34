//! How the listeners of a server ended. The report contains this, because it says whether clients that connected during the
//! stop can have been reset.

use std::fmt;

/// How the listeners of a server ended: see [`StopReport::listener`](crate::report::StopReport::listener).
///
/// The variants are in an order: a later one can have lost more clients. If a server has several listeners, the report has the
/// latest variant of them.
///
/// ```
/// use softstop::report::ListenerEnd;
///
/// assert!(!ListenerEnd::Refused.can_lose());
/// assert!(ListenerEnd::CutOff.can_lose());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ListenerEnd {
    /// The listener was kept for the next start ([`StopPolicy::keep_listener`](crate::StopPolicy::keep_listener)). Clients
    /// that connect wait in its accept queue until then.
    Kept,
    /// Other processes hold the listener too. The server left it to them, with everything in its accept queue.
    Left,
    /// From the beginning of the drain the kernel refused new clients at once. Clients that had begun their handshake before
    /// were accepted.
    ///
    /// Two kinds of clients are not covered: those that stayed silent for longer than the listener waits, and, while the kernel
    /// uses SYN cookies, those whose last packet of the handshake arrived after the drain began. They were reset.
    Refused,
    /// From the beginning of the drain the kernel dropped the SYNs of new clients. Such a client repeats its SYN a second
    /// later, and is refused then. Clients that had begun their handshake before were accepted, unless they stayed silent for
    /// longer than the listener waits.
    Dropped,
    /// The kernel allowed neither of the two. The listener was closed once its accept queue was empty. Clients that connected
    /// at that moment were reset.
    Emptied,
    /// The stop left no time to empty the accept queue. Clients in it were reset.
    CutOff,
    /// The listener failed: the kernel does not accept from it any more. Clients in its accept queue were reset.
    Failed,
}

impl ListenerEnd {
    /// All variants, in their order.
    pub const ALL: &[ListenerEnd] = &[
        ListenerEnd::Kept,
        ListenerEnd::Left,
        ListenerEnd::Refused,
        ListenerEnd::Dropped,
        ListenerEnd::Emptied,
        ListenerEnd::CutOff,
        ListenerEnd::Failed,
    ];

    /// Whether clients that connected while the listener ended can have been reset, other than in the cases that
    /// [`Refused`](ListenerEnd::Refused) and [`Dropped`](ListenerEnd::Dropped) name.
    #[must_use]
    pub fn can_lose(self) -> bool {
        self >= ListenerEnd::Emptied
    }

    /// A short text for data that other programs read: `kept`, `left`, `refused`, `dropped`, `emptied`, `cut off` or `failed`.
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
            ListenerEnd::Emptied => {
                "could not refuse new clients: clients that connected at that moment may have been reset"
            }
            ListenerEnd::CutOff => "had no time to empty its accept queue: clients in it were reset",
            ListenerEnd::Failed => "failed: clients in its accept queue were reset",
        })
    }
}
