//! What a generator is told.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use softstop::Context;

use crate::cli::bench::watch::Watch;

/// How long answers are waited for after an interruption: long enough for a server that answers at all, and too short for
/// whoever has pressed Ctrl-C to press it again.
const HASTE: Duration = Duration::from_millis(250);

/// What is to be sent, how often, and for how long.
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// One request, whole.
    pub(crate) request: Vec<u8>,
    pub(crate) is_head: bool,
    /// Slots: connections that send at once.
    pub(crate) connections: usize,
    /// Further connections that say nothing, and close when the server does.
    pub(crate) idle: usize,
    /// Requests on one connection whose answers are still to come.
    pub(crate) pipeline: usize,
    pub(crate) persistence: Persistence,
    /// Requests a second, in an open loop; a closed loop if there is none.
    pub(crate) rate: Option<f64>,
    /// How long requests are sent; `None` is until the context ends.
    pub(crate) length: Option<Duration>,
    /// How long answers are waited for after that. Where `length` says when the load is over, a context that ends earlier
    /// is somebody who does not want to wait: then it is [`HASTE`] at most.
    pub(crate) patience: Duration,
    /// How long connections that are not made yet are waited for after that.
    pub(crate) handshake: Duration,
    /// Who wants to know when each connection was due.
    pub(crate) watch: Option<Arc<Watch>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// A connection is used until the server closes it.
    Kept,
    /// A connection is for one request.
    Once,
}

impl Plan {
    /// Until when handshakes and until when answers are waited for, if nothing is sent from now on.
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
    fn who_is_interrupted_does_not_wait() {
        let seconds = Duration::from_secs;
        for (length, is_cancelled, patience) in [
            (Some(seconds(9)), false, seconds(2)),
            (Some(seconds(9)), true, HASTE),
            // Its end is the context's: nobody has interrupted it.
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
