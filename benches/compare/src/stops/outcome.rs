//! The outcomes of requests, as the client of `softstop check` decides them, and what only this harness counts.

use std::{
    fmt,
    ops::AddAssign,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    Kind,
    client::{Outcome, Story, Tally},
};

/// How many requests had which outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    #[serde(flatten)]
    pub(super) tally: Tally,
    /// Of those that were answered.
    pub(super) not_200: u64,
    /// Requests and handshakes in the middle of which the client vanished on purpose.
    pub(super) vanished: u64,
}

impl Counts {
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.tally.requests() + self.vanished
    }

    #[must_use]
    pub fn lost(&self) -> u64 {
        self.tally.lost
    }

    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.tally.dropped
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.tally += other.tally;
        self.not_200 += other.not_200;
        self.vanished += other.vanished;
    }
}

/// The counts, and the stories of the requests that are missing.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub counts: Counts,
    pub losses: Vec<Loss>,
    pub refusals: Vec<Refusal>,
}

/// A client that was refused, at the end.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// When the client began to try.
    pub(super) since: Instant,
    pub(super) took: Duration,
}

impl Outcomes {
    pub(super) fn add(&mut self, other: Outcomes) {
        self.counts += other.counts;
        self.losses.extend(other.losses);
        self.refusals.extend(other.refusals);
    }
}

/// A request, or a batch of pipelined ones, that was lost, was dropped or timed out.
#[derive(Debug)]
pub struct Loss {
    pub(super) kind: Kind,
    pub(super) outcome: Outcome,
    pub(super) requests: usize,
    pub(super) local_port: u16,
    pub(super) story: Story,
}

impl Loss {
    /// The loss in one line, with its times relative to the signal.
    #[must_use]
    pub fn describe(&self, signal: Instant) -> impl fmt::Display {
        let Loss { kind, outcome, requests, local_port, story } = self;
        format!(
            "{requests} {} ({kind}): port {local_port}; {}",
            outcome.word(),
            story.tell(signal).join("; ")
        )
    }
}

/// In milliseconds.
#[must_use]
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
