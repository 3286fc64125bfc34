//! How long each phase of a stop may take.

use std::time::{Duration, Instant};

use super::Timeline;

/// How long each phase of a stop may take.
///
/// | phase | length | default | ends early |
/// | --- | --- | --- | --- |
/// | [lame duck](crate::Phase::LameDuck) | [`lame_duck`](StopPolicy::lame_duck) | 0 s | never |
/// | [draining](crate::Phase::Draining) | at most [`grace`](StopPolicy::grace) | 5 s | when nothing is in flight |
/// | [cancelling](crate::Phase::Cancelling) | at most [`cancel_grace`](StopPolicy::cancel_grace) | 1 s | as draining |
///
/// Because draining and cancelling end early, a long grace period costs an idle server nothing.
///
/// A server can be asked to stop several times. The strictest policy wins: each phase ends at the earlier of the two times, so
/// a further stop never makes a phase end later.
///
/// **Guaranteed:** a stop is over after [`max_duration`](StopPolicy::max_duration), and 50 ms for the threads to return (2 s
/// more on an overloaded machine). **Not guaranteed:** that each request ends by then. A handler cannot be ended from outside;
/// the report names those that are left behind. **Your part:** handlers that may take long look at their
/// [`Context`](crate::Context).
///
/// ```
/// use softstop::StopPolicy;
/// use std::time::Duration;
///
/// let patient = StopPolicy::default().grace(Duration::from_secs(30));
/// assert_eq!(StopPolicy::default().max_duration(), Duration::from_secs(6));
/// assert_eq!(StopPolicy::now().max_duration(), Duration::ZERO);
/// # let _ = patient;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopPolicy {
    pub(crate) lame_duck: Duration,
    pub(crate) grace: Duration,
    pub(crate) cancel_grace: Duration,
    pub(crate) quiet: Duration,
    pub(crate) keep_listener: bool,
}

impl Default for StopPolicy {
    /// No lame duck, 5 s of grace, 1 s for cancelled handlers to return, a quiet period of at most 1 s.
    fn default() -> Self {
        StopPolicy {
            lame_duck: Duration::ZERO,
            grace: Duration::from_secs(5),
            cancel_grace: Duration::from_secs(1),
            quiet: Duration::from_secs(1),
            keep_listener: false,
        }
    }
}

impl StopPolicy {
    /// The hard stop: all lengths are zero. Requests in flight are aborted, and the report names them.
    #[must_use]
    pub fn now() -> Self {
        StopPolicy {
            lame_duck: Duration::ZERO,
            grace: Duration::ZERO,
            cancel_grace: Duration::ZERO,
            quiet: Duration::ZERO,
            keep_listener: false,
        }
    }

    /// How long the server goes on accepting and serving before the drain, while readiness says no and each response says
    /// `Connection: close`. Default 0.
    ///
    /// Load balancers need this time to notice that the server is not ready. So the phase is never cut short, even if nothing
    /// is in flight.
    #[must_use]
    pub fn lame_duck(self, lame_duck: Duration) -> Self {
        StopPolicy { lame_duck, ..self }
    }

    /// How long requests in flight may take to finish by themselves, from the beginning of the drain. Default 5 s.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        StopPolicy { grace, ..self }
    }

    /// How long handlers may take to return after their contexts were cancelled. Default 1 s.
    #[must_use]
    pub fn cancel_grace(self, cancel_grace: Duration) -> Self {
        StopPolicy { cancel_grace, ..self }
    }

    /// The longest quiet period. Default 1 s, because a client's kernel repeats a lost first packet after that time.
    ///
    /// A kept-alive client may be sending a request at the moment of the stop. A stop therefore closes a connection without a
    /// request only when it has been silent for its quiet period. Each connection has a quiet period of its own:
    ///
    /// - The client has paused 8 times or more between a response and its next request: twice the longest of the last 8
    ///   to 15 pauses, plus 250 ms for the repetition of a lost packet, and at most `quiet`.
    /// - The client has paused less often, or its connection is fresh: `quiet`.
    ///
    /// A connection that has been silent for that long when the drain begins closes at once, so idle connections do not delay
    /// a stop. A request that comes in time is answered with `Connection: close`, which ends the wait. The quiet period
    /// counts against `grace`.
    ///
    /// **Not guaranteed:** a request that crosses the server's FIN on the network is lost. A lame duck phase that is longer than
    /// the clients' pauses avoids this.
    #[must_use]
    pub fn quiet(self, quiet: Duration) -> Self {
        StopPolicy { quiet, ..self }
    }

    /// Keeps the listeners open: for a restart within the process. The server drains everything else. Clients that connect during
    /// the stop or after it wait in the kernel's accept queue, and the next [`start`](crate::Server::start) serves them. No
    /// client is refused.
    ///
    /// - If there is no next start, the waiting clients are reset when the server is dropped, or stopped once more without
    ///   `keep_listener`.
    /// - If a further stop without `keep_listener` comes while the first one is under way, the waiting clients are served, and
    ///   the listeners close.
    /// - In a [`Group`](crate::Group), which starts only once, `keep_listener` has no effect.
    #[must_use]
    pub fn keep_listener(self) -> Self {
        StopPolicy { keep_listener: true, ..self }
    }

    pub(crate) fn keeps_listener(&self) -> bool {
        self.keep_listener
    }

    /// One policy for two stops that were asked for before the start, with the same result as two stops in the moment of
    /// the start. The rule is in [`Timeline::tighten`].
    #[must_use]
    pub(crate) fn stricter(&self, other: &StopPolicy) -> Self {
        // Any moment will do: the policy has lengths only.
        let start = Instant::now();
        let mut timeline = Timeline::new(self, start);
        timeline.tighten(&Timeline::new(other, start));
        timeline.left(start)
    }

    /// The longest time that a stop with this policy can take: the sum of all lengths.
    #[must_use]
    pub fn max_duration(&self) -> Duration {
        self.lame_duck.saturating_add(self.grace).saturating_add(self.cancel_grace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_closes_the_listener_is_stricter_than_one_that_keeps_it() {
        let (keeps, closes) = (StopPolicy::default().keep_listener(), StopPolicy::default());
        assert!(keeps.stricter(&keeps).keep_listener);
        assert!(!keeps.stricter(&closes).keep_listener && !closes.stricter(&keeps).keep_listener);
    }

    #[test]
    fn each_phase_ends_at_the_earlier_of_the_two_times() {
        let second = Duration::from_secs;
        let policy = |lame_duck, grace, cancel_grace| {
            let policy = StopPolicy::default().quiet(second(lame_duck + 1));
            policy.lame_duck(second(lame_duck)).grace(second(grace)).cancel_grace(second(cancel_grace))
        };
        let rows = [
            ((0, 5, 1), (0, 60, 2), (0, 5, 1)),
            ((0, 5, 1), (0, 2, 9), (0, 2, 4)),
            // A long lame duck and a long grace period: neither is cut to nothing by the other policy.
            ((10, 0, 0), (0, 10, 0), (0, 10, 0)),
        ];
        for ((a, b, c), (d, e, f), (g, h, i)) in rows {
            let (one, other, both) = (policy(a, b, c), policy(d, e, f), policy(g, h, i));
            assert_eq!(one.stricter(&other), both);
            assert_eq!(other.stricter(&one), both);
        }
        let boundless = StopPolicy::default().grace(Duration::MAX);
        assert_eq!(boundless.stricter(&StopPolicy::default()), StopPolicy::default());
    }
}
