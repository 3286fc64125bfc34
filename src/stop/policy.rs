//! The bounds of a stop.

use std::time::{Duration, Instant};

use super::Timeline;

/// How long each phase of a stop may take at most.
///
/// All phases but the lame duck end as soon as nothing is left to wait for, so a generous bound costs an idle server
/// nothing. The lame duck lasts its whole time.
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
    /// The hard stop: nothing is waited for. Requests in flight are aborted and named in the report.
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

    /// How long to go on accepting and serving, with readiness already off, so that a load balancer can look away.
    #[must_use]
    pub fn lame_duck(self, lame_duck: Duration) -> Self {
        StopPolicy { lame_duck, ..self }
    }

    /// How long requests in flight may take to finish by themselves.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        StopPolicy { grace, ..self }
    }

    /// How long handlers may take to return after their contexts were cancelled.
    #[must_use]
    pub fn cancel_grace(self, cancel_grace: Duration) -> Self {
        StopPolicy { cancel_grace, ..self }
    }

    /// The longest quiet period. Default 1 s, after which a client's kernel repeats a lost first packet.
    ///
    /// A connection that is owed nothing may have a request on its way. A stop therefore closes it only when it has
    /// been silent for its quiet period. Each connection has a quiet period of its own:
    ///
    /// - The client has paused 8 times or more between a response and its next request: twice the longest of the last 8
    ///   to 15 pauses, plus 250 ms for the repetition of a lost packet, and at most `quiet`.
    /// - The client has paused less often, or its connection is fresh: `quiet`.
    ///
    /// A connection that has been silent for that long when the drain begins closes at once, so idle connections do not hold
    /// a stop. A request that comes in time is answered with `Connection: close`, which ends the wait. The quiet period
    /// counts against `grace`. A request that crosses the server's FIN on the network is lost; a lame duck phase avoids it.
    #[must_use]
    pub fn quiet(self, quiet: Duration) -> Self {
        StopPolicy { quiet, ..self }
    }

    /// Leaves the sockets listening: everything else is drained, but clients that connect from now on wait in the
    /// kernel's accept queue, and the next [`start`](crate::Server::start) serves them. Nobody is refused.
    ///
    /// It is for a restart within the process. If there is no next start, those who wait are reset when the server is
    /// dropped, or stopped once more without this. A further stop while the first one is under way, without this, serves
    /// them and closes. In a [`Group`](crate::Group), which starts only once, it means nothing.
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

    /// The longest that a stop with this policy can take: all bounds together.
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
