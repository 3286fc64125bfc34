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
    atomic::{AtomicUsize, Ordering},
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
    /// How many other processes have a descriptor because of a handover.
    lent: Arc<AtomicUsize>,
}

impl Holding {
    pub(crate) fn new(origin: Holder) -> Holding {
        Holding { origin, lent: Arc::new(AtomicUsize::new(0)) }
    }

    /// Changes what the next stop does. A stop that is past its beginning does not ask again.
    pub(crate) fn lend(&self, lent: Lent) {
        _ = self.lent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| match lent {
            Lent::Yes => count.checked_add(1),
            Lent::No => count.checked_sub(1),
        });
    }

    pub(crate) fn holder(&self) -> Holder {
        if self.lent.load(Ordering::SeqCst) > 0 { Holder::Shared } else { self.origin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_two_processes_have_is_shared_until_both_have_ended() {
        let holding = Holding::new(Holder::Alone);
        for (lent, holder) in [
            (Lent::Yes, Holder::Shared),
            (Lent::Yes, Holder::Shared),
            (Lent::No, Holder::Shared),
            (Lent::No, Holder::Alone),
            (Lent::No, Holder::Alone),
            (Lent::Yes, Holder::Shared),
        ] {
            holding.lend(lent);
            assert_eq!(holding.holder(), holder);
        }
    }

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
