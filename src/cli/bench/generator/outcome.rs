//! What a load came to.

use std::{
    collections::BTreeMap,
    fmt, io,
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};

use crate::cli::{bench::distribution::Distribution, response::Malformed};

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Nobody listens.
    Refused,
    /// The connection was not made in time, or could not be made for another reason than that nobody listens.
    NotConnected,
    /// This side has no local port left for another connection.
    NoPort,
    /// The server reset the connection.
    Reset,
    /// The server closed the connection before the answer was complete.
    Closed,
    /// The answer was none.
    Malformed,
    /// The load was over, and so was the time in which the answer was waited for.
    Unanswered,
}

impl Failure {
    /// What a connect has come to; nothing if it is this process that cannot go on.
    pub(super) fn of_connect(error: &io::Error) -> Option<Failure> {
        const ENFILE: i32 = 23;
        const EMFILE: i32 = 24;
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Failure::Refused),
            io::ErrorKind::ConnectionReset => Some(Failure::Reset),
            io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable => Some(Failure::NoPort),
            _ if matches!(error.raw_os_error(), Some(ENFILE | EMFILE)) => None,
            _ => Some(Failure::NotConnected),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Failure::Refused => "refused",
            Failure::NotConnected => "not connected",
            Failure::NoPort => "no local port",
            Failure::Reset => "reset",
            Failure::Closed => "closed too early",
            Failure::Malformed => "malformed",
            Failure::Unanswered => "unanswered",
        })
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.to_string().replace(' ', "_"))
    }
}

/// Everything that was counted. Each request that was sent was either answered or failed.
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    /// By class: 1xx, which is never an answer, to 5xx, and what is beyond.
    pub(crate) statuses: [u64; 6],
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// What the first malformed answer had wrong.
    pub(crate) malformed: Option<Malformed>,
    /// Requests of an open loop that were due, but found no slot until the end.
    pub(crate) never_sent: u64,
    pub(crate) connections: u64,
    pub(crate) bytes_received: u64,
    /// From when a request was due to the last byte of its answer.
    pub(crate) latency: Distribution,
    /// From when a request was due to when it was sent: how late this side was itself.
    pub(crate) lag: Distribution,
    /// When the last answer was complete.
    pub(crate) last_answer: Option<Instant>,
    /// How long requests were sent, or until the last answer if that was later.
    pub(crate) took: Duration,
}

impl Outcome {
    pub(super) fn new() -> Outcome {
        Outcome {
            sent: 0,
            statuses: [0; 6],
            failures: BTreeMap::new(),
            malformed: None,
            never_sent: 0,
            connections: 0,
            bytes_received: 0,
            latency: Distribution::new(),
            lag: Distribution::new(),
            last_answer: None,
            took: Duration::ZERO,
        }
    }

    pub(super) fn answer(&mut self, status: u16, due: Instant, at: Instant) {
        self.statuses[usize::from(status / 100).clamp(1, 6) - 1] += 1;
        self.latency.record(at.saturating_duration_since(due));
        self.last_answer = Some(at);
    }

    pub(super) fn fail(&mut self, failure: Failure, requests: u64) {
        if requests > 0 {
            *self.failures.entry(failure).or_default() += requests;
        }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.statuses.iter().sum()
    }

    pub(crate) fn failed(&self, failure: Failure) -> u64 {
        self.failures.get(&failure).copied().unwrap_or(0)
    }

    /// How many answers there were of each class that there were any of.
    pub(crate) fn classes(&self) -> BTreeMap<&'static str, u64> {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].into_iter().zip(self.statuses);
        classes.filter(|&(_, count)| count > 0).collect()
    }
}
