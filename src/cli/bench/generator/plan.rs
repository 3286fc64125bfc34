//! The orders for a generator.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use softstop::Context;

use crate::cli::bench::watch::Watch;

/// How long the generator waits for answers after an interruption. A working server answers in this time, and a user does not
/// press Ctrl-C a second time within it.
const HASTE: Duration = Duration::from_millis(250);

/// The request, how often it is sent, and for how long.
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// The bytes of one request.
    pub(crate) request: Vec<u8>,
    pub(crate) is_head: bool,
    /// The number of slots: connections that send at the same time.
    pub(crate) connections: usize,
    /// Further connections that send nothing, and close when the server closes.
    pub(crate) idle: usize,
    /// The most unanswered requests on one connection.
    pub(crate) pipeline: usize,
    pub(crate) persistence: Persistence,
    /// Requests a second of an open loop. `None` makes a closed loop.
    pub(crate) rate: Option<f64>,
    /// How long requests are sent. `None` means until the context ends.
    pub(crate) length: Option<Duration>,
    /// How long the generator waits for answers after the last request. If there is a `length` and the context ends before,
    /// a user has interrupted the run: then the wait is at most [`HASTE`].
    pub(crate) patience: Duration,
    /// How long the generator waits for handshakes after the last request.
    pub(crate) handshake: Duration,
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
    /// Until when to wait for handshakes, and until when for answers, if nothing is sent from now on.
    pub(super) fn last_calls(&self, now: Instant, context: &Context) -> (Instant, Instant) {
        let is_interrupted = self.length.is_some() && context.is_cancelled();
        let most = if is_interrupted { HASTE } else { Duration::MAX };
        (now + self.handshake.min(most), now + self.patience.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interruption_shortens_the_wait() {
        let seconds = Duration::from_secs;
        for (length, is_cancelled, patience) in [
            (Some(seconds(9)), false, seconds(2)),
            (Some(seconds(9)), true, HASTE),
            // Without a length the end of the context is the regular end.
            (None, true, seconds(2)),
        ] {
            let plan = Plan {
                address: SocketAddr::from(([127, 0, 0, 1], 1)),
                request: Vec::new(),
                is_head: false,
                connections: 1,
                idle: 0,
                pipeline: 1,
                persistence: Persistence::Kept,
                rate: None,
                length,
                patience: seconds(2),
                handshake: Duration::from_millis(1),
                watch: None,
            };
            let (context, now) = (Context::new(), Instant::now());
            if is_cancelled {
                context.cancel("interrupted");
            }
            let calls = (now + Duration::from_millis(1), now + patience);
            assert_eq!(plan.last_calls(now, &context), calls, "{length:?} {is_cancelled}");
        }
    }
}
