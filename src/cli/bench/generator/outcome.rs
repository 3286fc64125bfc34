//! The results of a load.

use std::{
    collections::BTreeMap,
    fmt, io,
    time::{Duration, Instant},
};

use serde::{Serialize, Serializer};

use crate::cli::{bench::distribution::Distribution, client::response::Malformed};

/// Why a request was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The server refused the connection, because nothing listens there.
    Refused,
    /// The connection was not established in time, or failed for another reason than a refusal.
    NotConnected,
    /// This machine has no local port left for another connection.
    NoPort,
    /// The server reset the connection.
    Reset,
    /// The server closed the connection before the answer was complete.
    Closed,
    /// The answer was not HTTP.
    Malformed,
    /// No answer came in time after the end of the load.
    Unanswered,
}

impl Failure {
    /// The failure that an error of `connect` means. `None` if this process has no descriptors left and cannot go on.
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

/// The counts of a load. Each request that was sent was answered or failed.
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    /// Answers by class, from 1xx (never an answer) to 5xx, and all higher ones.
    pub(crate) statuses: [u64; 6],
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// The fault of the first malformed answer.
    pub(crate) malformed: Option<Malformed>,
    /// Requests of an open loop that were due and found no free slot until the end.
    pub(crate) never_sent: u64,
    pub(crate) connections: u64,
    pub(crate) bytes_received: u64,
    /// The time from the moment a request was due to the last byte of its answer.
    pub(crate) latency: Distribution,
    /// The time from the moment a request was due to its sending: how late the generator was.
    pub(crate) lag: Distribution,
    /// When the last answer was complete.
    pub(crate) last_answer: Option<Instant>,
    /// The time from the beginning to the end of sending, or to the last answer if that came later.
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

    /// The number of answers of each class. Classes without answers are left out.
    pub(crate) fn classes(&self) -> BTreeMap<&'static str, u64> {
        let classes = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"].into_iter().zip(self.statuses);
        classes.filter(|&(_, count)| count > 0).collect()
    }
}
