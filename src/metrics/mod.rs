//! Counters and gauges of a server while it runs: as a plain struct, and as a page for Prometheus.

//
//   loop 0: Tally --+                     run: Totals --+
//   loop 1: Tally --+-- summed by the reader            +-- ServerHandle::metrics() -> Metrics -> /metrics
//   loop 2: Tally --+                earlier runs: -----+
//
//
// Metrics need no counters and no locks of their own: they are the sums of the loops' tallies. The report of a stop is
// made of the same tallies.

mod prometheus;
mod tally;

use std::ops::Index;

pub use self::prometheus::exposition;
pub(crate) use self::tally::{Tally, Totals};

use crate::{
    http::StatusCode,
    stop::{Closes, Phase, Requests},
};

/// The counters and gauges of a server: see [`ServerHandle::metrics`](crate::ServerHandle::metrics).
///
/// - Counters count from the server's first start on, over all its runs.
/// - Gauges (numbers of open connections, threads, waiting requests) are those of the moment.
/// - Fields that begin with `max_` are the bounds that the server was built with.
///
/// Not guaranteed: the values are read one after another while the server goes on, so two of them may differ by the
/// requests that came in between.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The server's name.
    pub name: String,
    /// The phase of the server between its start and its end.
    pub phase: Phase,
    /// How often the server was started, which is the number of the run that is under way.
    pub starts: u64,
    /// Accepted connections.
    pub accepted: u64,
    /// Accepted connections that a listener took out of its accept queue while it closed.
    pub rescued: u64,
    /// Open connections.
    pub open_connections: usize,
    /// The most open connections: [`ServerBuilder::max_connections`](crate::ServerBuilder::max_connections).
    pub max_connections: usize,
    /// Closed connections, by reason.
    pub closes: Closes,
    /// The requests, by how they ended.
    pub requests: Requests,
    /// Responses that handlers or the server have made, by the class of their status.
    pub responses: Responses,
    /// Worker threads.
    pub workers: usize,
    /// Worker threads that run a handler.
    pub busy_workers: usize,
    /// The most worker threads: [`ServerBuilder::max_workers`](crate::ServerBuilder::max_workers).
    pub max_workers: usize,
    /// Requests that wait for a worker.
    pub queued: usize,
    /// The most requests that wait for a worker: [`ServerBuilder::max_queued`](crate::ServerBuilder::max_queued).
    pub max_queued: usize,
}

impl Metrics {
    /// Requests in flight on the worker pool: requests that wait for a worker, and requests in a handler.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queued + self.busy_workers
    }
}

/// The number of classes of status codes (RFC 9110 section 15). A code above 599, which has no meaning in HTTP, is
/// counted in the last class.
const CLASSES: usize = 5;

/// How many responses had a status of each class.
///
/// ```
/// use softstop::{StatusCode, metrics::Responses};
///
/// let none = Responses::default();
/// assert_eq!(none[StatusCode::OK] + none[StatusCode::NOT_FOUND], 0);
/// assert_eq!(none.iter().map(|(class, _)| class).collect::<Vec<_>>(), ["1xx", "2xx", "3xx", "4xx", "5xx"]);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Responses([u64; CLASSES]);

impl Responses {
    /// All responses.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Each class and its count, the zeros included.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(self.0)
    }
}

/// The count of the class that a status belongs to.
impl Index<StatusCode> for Responses {
    type Output = u64;

    fn index(&self, status: StatusCode) -> &u64 {
        &self.0[class(status)]
    }
}

fn class(status: StatusCode) -> usize {
    usize::from(status.as_u16() / 100).clamp(1, 5) - 1
}
