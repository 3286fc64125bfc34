//! The orders for a generator.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use softstop::Context;

use super::Address;
use crate::cli::bench::watch::Watch;

/// How long the generator waits for answers after an interruption. A working server answers in this time, and a user does not
/// press Ctrl-C a second time within it.
const HASTE: Duration = Duration::from_millis(250);

/// The request, how often it is sent, and for how long.
pub(crate) struct Plan {
    pub(crate) address: Address,
    /// The bytes of one request.
    pub(crate) request: Vec<u8>,
    pub(crate) is_head: bool,
    /// The number of slots: connections that send at the same time.
    pub(crate) connections: usize,
    /// The most unanswered requests on one connection.
    pub(crate) pipeline: usize,
    pub(crate) persistence: Persistence,
    /// Requests a second of an open loop. `None` makes a closed loop.
    pub(crate) rate: Option<f64>,
    /// How long requests are sent.
    pub(crate) length: Duration,
    /// How long the generator waits for handshakes and answers after the last request. If the context has ended, a user has
    /// interrupted the run: then the wait is at most [`HASTE`].
    pub(crate) patience: Duration,
    /// Where the generator notes when each connection was due.
    pub(crate) watch: Option<Arc<Watch>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// Each connection is used until the server closes it.
    Kept,
    /// Each connection carries one request.
    Once,
}

impl Plan {
    /// Until when to wait for answers, if nothing is sent from now on.
    pub(super) fn last_call(&self, now: Instant, context: &Context) -> Instant {
        let most = if context.is_cancelled() { HASTE } else { Duration::MAX };
        now + self.patience.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_shortens_the_wait() {
        let plan = Plan {
            address: Address::Tcp(([127, 0, 0, 1], 1).into()),
            request: Vec::new(),
            is_head: false,
            connections: 1,
            pipeline: 1,
            persistence: Persistence::Kept,
            rate: None,
            length: Duration::from_secs(9),
            patience: Duration::from_secs(2),
            watch: None,
        };
        let (context, now) = (Context::new(), Instant::now());
        assert_eq!(plan.last_call(now, &context), now + plan.patience);
        context.cancel("interrupted");
        assert_eq!(plan.last_call(now, &context), now + HASTE);
    }
}
