//! How long clients may take: [`Timeouts`].
//!
//! Every time-out stands here with its default and the reason for it. What else a server is built with is in
//! [`config`](crate::config).

use std::{num::NonZeroU64, time::Duration};

/// How long a connection may take for each thing it does.
///
/// Each time-out is a deadline of one connection. The loop sleeps until the next deadline, so nothing is polled.
/// A value is set by the method of its name, and read by that method with `get_` in front.
///
/// | time-out | default | the client that meets it |
/// | --- | --- | --- |
/// | [`header`](Timeouts::header) | 10 s | sends a request's head too slowly: 408 |
/// | [`body`](Timeouts::body) | 30 s | pauses inside a request's content: 408 |
/// | [`body_rate`](Timeouts::body_rate) | 500 bytes/s | sends a request's content too slowly: 408 |
/// | [`idle`](Timeouts::idle) | 75 s | sends no further request: closed |
/// | [`write`](Timeouts::write) | 30 s | takes no byte of a response: closed |
/// | [`write_rate`](Timeouts::write_rate) | 500 bytes/s | takes a response too slowly: closed |
/// | [`linger`](Timeouts::linger) | 2 s | does not close after the server has: closed |
/// | [`half_close_probe`](Timeouts::half_close_probe) | 100 ms | has closed its sending side: asked whether it is there |
/// | [`keep_alive_probe`](Timeouts::keep_alive_probe) | 60 s | is silent: its kernel is asked whether it is there |
///
/// ```
/// use softstop::Timeouts;
/// use std::time::Duration;
///
/// let timeouts = Timeouts::default().idle(Duration::from_secs(20)).body_rate(None);
/// assert_eq!(timeouts.get_idle(), Duration::from_secs(20));
/// assert_eq!(timeouts.get_body_rate(), None);
/// assert_eq!(timeouts.get_header(), Duration::from_secs(10));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    pub(crate) header: Duration,
    pub(crate) body: Duration,
    pub(crate) body_rate: Option<NonZeroU64>,
    pub(crate) idle: Duration,
    pub(crate) write: Duration,
    pub(crate) write_rate: Option<NonZeroU64>,
    pub(crate) linger: Duration,
    pub(crate) half_close_probe: Duration,
    pub(crate) keep_alive_probe: Option<Duration>,
}

/// The loop doubles the interval after each probe, so the first interval must not be zero.
const SHORTEST_PROBE: Duration = Duration::from_millis(1);

const DEFAULT_RATE: Option<NonZeroU64> = NonZeroU64::new(500);

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            header: Duration::from_secs(10),
            body: Duration::from_secs(30),
            body_rate: DEFAULT_RATE,
            idle: Duration::from_secs(75),
            write: Duration::from_secs(30),
            write_rate: DEFAULT_RATE,
            linger: Duration::from_secs(2),
            half_close_probe: Duration::from_millis(100),
            keep_alive_probe: Some(Duration::from_secs(60)),
        }
    }
}

impl Timeouts {
    /// The longest time from the first byte of a request (or from the accept) to the end of its head. A client that
    /// needs longer is answered `408 Request Timeout`, however its bytes trickle in.
    ///
    /// Default 10 s, because the head of an honest client is one packet.
    #[must_use]
    pub fn header(self, header: Duration) -> Self {
        Timeouts { header, ..self }
    }

    /// The longest pause inside a request's content. A client that pauses longer is answered `408`.
    ///
    /// Default 30 s, which a phone may need between two cells.
    #[must_use]
    pub fn body(self, body: Duration) -> Self {
        Timeouts { body, ..self }
    }

    /// The bytes a second that a client must send of a request's content, on average, after the first
    /// [`body`](Timeouts::body) seconds. A slower client is answered `408`. `None` or 0: no rate is asked for.
    ///
    /// Default 500: a tenth of the slowest mobile network, and a hundred times the rate of a client that only wants to
    /// hold the connection.
    #[must_use]
    pub fn body_rate(self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        Timeouts { body_rate: bytes_per_second.into().and_then(NonZeroU64::new), ..self }
    }

    /// How long a kept-alive connection may be silent between two requests. The server closes it afterwards.
    ///
    /// Default 75 s, as in nginx. Most clients and balancers close after 60 s, so the client closes first. Where the
    /// server closes first, a request that is on its way at that moment is lost.
    #[must_use]
    pub fn idle(self, idle: Duration) -> Self {
        Timeouts { idle, ..self }
    }

    /// The longest time in which a client takes no byte of a response. The server closes the connection afterwards.
    ///
    /// Default 30 s, for the reason of [`body`](Timeouts::body).
    #[must_use]
    pub fn write(self, write: Duration) -> Self {
        Timeouts { write, ..self }
    }

    /// The bytes a second that a client must take of a response, on average, after the first
    /// [`write`](Timeouts::write) seconds in which the kernel's buffer is full. `None` or 0: no rate is asked for.
    ///
    /// Default 500, for the reasons of [`body_rate`](Timeouts::body_rate).
    #[must_use]
    pub fn write_rate(self, bytes_per_second: impl Into<Option<u64>>) -> Self {
        Timeouts { write_rate: bytes_per_second.into().and_then(NonZeroU64::new), ..self }
    }

    /// How long a lingering close waits for the client to close too (RFC 9112 section 9.6). With 0 the server does not
    /// wait, and what the client still sends may reset the connection before the client has read the response.
    ///
    /// Default 2 s: several round trips around the world. A connection that lingers costs a descriptor and no buffer.
    #[must_use]
    pub fn linger(self, linger: Duration) -> Self {
        Timeouts { linger, ..self }
    }

    /// How long after a client's half-close (a FIN while its request is handled) the server sends the first byte of
    /// the response ahead. The client's kernel answers that byte with a reset if the client is gone. The server sends
    /// further bytes, and doubles the interval each time. At least 1 ms; a shorter time is raised to 1 ms.
    ///
    /// Default 100 ms, so that nothing is sent ahead for a quick handler.
    #[must_use]
    pub fn half_close_probe(self, half_close_probe: Duration) -> Self {
        Timeouts { half_close_probe: half_close_probe.max(SHORTEST_PROBE), ..self }
    }

    /// How long a client may be silent until its kernel is asked whether it is still there (TCP keep-alive). The
    /// connection ends after three questions without an answer, which are a quarter of that time apart. So a client
    /// that has vanished does not hold a silent stream, an upgraded connection or a handler for ever.
    /// `None`: the kernel is never asked.
    ///
    /// Default 60 s, for three reasons:
    ///
    /// - A client that has vanished is noticed after 105 s.
    /// - The host sends at most one packet a minute for a silent connection.
    /// - No usual firewall or address translation forgets a silent connection within that time.
    ///
    /// The kernel counts in whole seconds, and takes at least one. A listener that a stop has kept keeps the setting that
    /// it was bound with.
    ///
    /// Not guaranteed: the kernel asks only while nothing that was sent waits for its acknowledgement. If something
    /// does, the kernel sends it again instead, and gives up by itself, on Linux after a quarter of an hour as a rule
    /// (`net.ipv4.tcp_retries2`). [`write`](Timeouts::write) is sooner only where the kernel's buffer is full.
    #[must_use]
    pub fn keep_alive_probe(self, keep_alive_probe: impl Into<Option<Duration>>) -> Self {
        Timeouts { keep_alive_probe: keep_alive_probe.into(), ..self }
    }

    /// The value of [`header`](Timeouts::header).
    #[must_use]
    pub fn get_header(&self) -> Duration {
        self.header
    }

    /// The value of [`body`](Timeouts::body).
    #[must_use]
    pub fn get_body(&self) -> Duration {
        self.body
    }

    /// The value of [`body_rate`](Timeouts::body_rate). `None`: no rate is asked for.
    #[must_use]
    pub fn get_body_rate(&self) -> Option<u64> {
        self.body_rate.map(NonZeroU64::get)
    }

    /// The value of [`idle`](Timeouts::idle).
    #[must_use]
    pub fn get_idle(&self) -> Duration {
        self.idle
    }

    /// The value of [`write`](Timeouts::write).
    #[must_use]
    pub fn get_write(&self) -> Duration {
        self.write
    }

    /// The value of [`write_rate`](Timeouts::write_rate). `None`: no rate is asked for.
    #[must_use]
    pub fn get_write_rate(&self) -> Option<u64> {
        self.write_rate.map(NonZeroU64::get)
    }

    /// The value of [`linger`](Timeouts::linger).
    #[must_use]
    pub fn get_linger(&self) -> Duration {
        self.linger
    }

    /// The value of [`half_close_probe`](Timeouts::half_close_probe).
    #[must_use]
    pub fn get_half_close_probe(&self) -> Duration {
        self.half_close_probe
    }

    /// The value of [`keep_alive_probe`](Timeouts::keep_alive_probe). `None`: the kernel is never asked.
    #[must_use]
    pub fn get_keep_alive_probe(&self) -> Option<Duration> {
        self.keep_alive_probe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rate_is_asked_for_with_none_or_zero() {
        let rates = |timeouts: Timeouts| (timeouts.get_body_rate(), timeouts.get_write_rate());
        assert_eq!(rates(Timeouts::default()), (Some(500), Some(500)));
        assert_eq!(rates(Timeouts::default().body_rate(0).write_rate(0)), (None, None));
        assert_eq!(rates(Timeouts::default().body_rate(None).write_rate(None)), (None, None));
        assert_eq!(rates(Timeouts::default().body_rate(1).write_rate(Some(2))), (Some(1), Some(2)));
    }

    #[test]
    fn an_interval_that_is_doubled_is_not_zero() {
        let probe = |time| Timeouts::default().half_close_probe(time).get_half_close_probe();
        assert_eq!(probe(Duration::ZERO), Duration::from_millis(1));
        assert_eq!(probe(Duration::from_secs(1)), Duration::from_secs(1));
    }

    #[test]
    fn each_setter_sets_the_value_of_its_name_alone() {
        let second = Duration::from_secs(1);
        let all = |t: &Timeouts| {
            [
                t.get_header(),
                t.get_body(),
                t.get_idle(),
                t.get_write(),
                t.get_linger(),
                t.get_half_close_probe(),
            ]
        };
        let setters = [
            Timeouts::header,
            Timeouts::body,
            Timeouts::idle,
            Timeouts::write,
            Timeouts::linger,
            Timeouts::half_close_probe,
        ];
        for (position, set) in setters.into_iter().enumerate() {
            let mut expected = all(&Timeouts::default());
            expected[position] = second;
            assert_eq!(all(&set(Timeouts::default(), second)), expected);
        }
        assert_eq!(Timeouts::default().keep_alive_probe(None).get_keep_alive_probe(), None);
        assert_eq!(Timeouts::default().keep_alive_probe(second).get_keep_alive_probe(), Some(second));
    }
}
