//! Which processes hold a listening socket. A stop must not change a listener that other processes hold, too: a binding or a
//! filter belongs to the socket, not to the descriptor. It would outlive this process, and the other processes would get no new
//! client any more.
//!
//! ```text
//!   Alone:   bound here, or given by the caller     Shared:   inherited, or given as shared
//!     |  ^                                            (for ever)
//!     |  | lend(No): the other process has closed its descriptor, or has ended
//!     v  |
//!   Shared: lend(Yes): handed to another process, or taken from one that still has it
//! ```

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Who holds a listening socket, at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// This process alone. A stop refuses new clients, empties the accept queue and closes the listener.
    Alone,
    /// Other processes, too. A stop leaves the listener as it is.
    Shared,
}

/// Whether another process has a descriptor of the listener because of a handover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lent {
    Yes,
    No,
}

/// Who holds a listening socket. The clones belong to one listener, so that a handover can change what the loop finds when a stop
/// begins.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    /// Without regard to handovers.
    origin: Holder,
    lent: Arc<AtomicBool>,
}

impl Holding {
    pub(crate) fn new(origin: Holder) -> Holding {
        Holding { origin, lent: Arc::new(AtomicBool::new(false)) }
    }

    /// Changes what the next stop does. A stop that is past its beginning does not ask again.
    pub(crate) fn lend(&self, lent: Lent) {
        self.lent.store(lent == Lent::Yes, Ordering::SeqCst);
    }

    pub(crate) fn holder(&self) -> Holder {
        if self.lent.load(Ordering::SeqCst) { Holder::Shared } else { self.origin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listener_that_was_ours_alone_is_so_again() {
        for origin in [Holder::Alone, Holder::Shared] {
            let holding = Holding::new(origin);
            let of_the_loop = holding.clone();
            holding.lend(Lent::Yes);
            assert_eq!(of_the_loop.holder(), Holder::Shared);
            holding.lend(Lent::No);
            assert_eq!(of_the_loop.holder(), origin);
        }
    }
}
