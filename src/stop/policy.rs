//! How patient a stop is.

use std::time::Duration;

/// How long each phase of a stop may take at most. A phase ends as soon as nothing is left for it, so a generous
/// bound costs an idle server nothing.
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

    /// The stricter of two policies, bound by bound.
    #[must_use]
    pub(crate) fn stricter(&self, other: &StopPolicy) -> Self {
        StopPolicy {
            lame_duck: self.lame_duck.min(other.lame_duck),
            grace: self.grace.min(other.grace),
            cancel_grace: self.cancel_grace.min(other.cancel_grace),
            quiet: self.quiet.min(other.quiet),
            keep_listener: self.keep_listener && other.keep_listener,
        }
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
}
