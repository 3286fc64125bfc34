//! How a server is doing, while it runs: counters and gauges as a plain struct, and as a page for Prometheus.
//!
//! ```text
//!   loop 0: Tally --+                     run: Totals --+
//!   loop 1: Tally --+-- summed by the reader            +-- ServerHandle::metrics() -> Metrics -> /metrics
//!   loop 2: Tally --+                earlier runs: -----+
//! ```
//!
//! Nobody is asked to count for this, and nothing is locked: each loop keeps its tally, from which the report of a
//! stop is made too, where others can read it.

mod prometheus;
mod tally;

use std::ops::Index;

pub use self::prometheus::exposition;
pub(crate) use self::tally::{Tally, Totals};

use crate::{
    http::StatusCode,
    stop::{Closes, Phase, Requests},
};

/// How a server is doing: see [`ServerHandle::metrics`](crate::ServerHandle::metrics).
///
/// What counts, counts from the server's first start on, over all its runs; what is a length or a number of things is
/// that of the moment. They are read one after another while the server goes on, so two of them need not fit each other to
/// the last request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// The server's name.
    pub name: String,
    /// Where it is between its start and its end.
    pub phase: Phase,
    /// How often it was started; the number of the run that is under way.
    pub starts: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Of these, the ones that a listener took out of the accept queue while it closed.
    pub rescued: u64,
    /// Connections that are open.
    pub open_connections: usize,
    /// The most of them that it takes: [`ServerBuilder::connections`](crate::ServerBuilder::connections).
    pub most_connections: usize,
    /// Connections that were closed, by reason.
    pub closes: Closes,
    /// What became of the requests.
    pub requests: Requests,
    /// Responses that were made, by the class of their status.
    pub responses: Responses,
    /// Worker threads.
    pub workers: usize,
    /// Those in a handler.
    pub busy_workers: usize,
    /// The most threads that it makes: [`ServerBuilder::workers`](crate::ServerBuilder::workers).
    pub most_workers: usize,
    /// Requests that wait for a worker.
    pub queued: usize,
    /// The most of them that it lets wait: [`ServerBuilder::queue`](crate::ServerBuilder::queue).
    pub most_queued: usize,
}

impl Metrics {
    /// Requests in flight on the worker pool: those that wait, and those in a handler.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.queued + self.busy_workers
    }
}

/// The classes of status codes (RFC 9110 section 15). Codes above 599, which mean nothing to HTTP, are in the last one.
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
