//! What became of requests: see [`stops`](super) for what the words mean.

use std::{
    fmt,
    ops::AddAssign,
    time::{Duration, Instant},
};

use serde::Serialize;

use super::Kind;

/// How many requests had which outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    pub answered: u64,
    /// Of those that were answered.
    pub not_200: u64,
    pub lost: u64,
    pub dropped: u64,
    pub late: u64,
    pub told: u64,
    pub refused: u64,
    pub unheard: u64,
    pub timed_out: u64,
    pub vanished: u64,
}

impl Counts {
    #[must_use]
    pub fn requests(&self) -> u64 {
        let Counts { answered, not_200: _, lost, dropped, late, told, refused, unheard, timed_out, vanished } =
            *self;
        answered + lost + dropped + late + told + refused + unheard + timed_out + vanished
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.answered += other.answered;
        self.not_200 += other.not_200;
        self.lost += other.lost;
        self.dropped += other.dropped;
        self.late += other.late;
        self.told += other.told;
        self.refused += other.refused;
        self.unheard += other.unheard;
        self.timed_out += other.timed_out;
        self.vanished += other.vanished;
    }
}

/// The counts, and what there is to know about each request that is missing.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub counts: Counts,
    pub losses: Vec<Loss>,
    pub refusals: Vec<Refusal>,
}

/// A client that was refused, at the end.
#[derive(Debug, Clone, Copy)]
pub struct Refusal {
    /// When it began to try.
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
    pub(super) what: &'static str,
    pub(super) requests: u64,
    pub(super) local_port: u16,
    /// How many responses the connection had brought before.
    pub(super) answered_before: usize,
    pub(super) connected: Instant,
    pub(super) wrote: Instant,
    pub(super) noticed: Instant,
    pub(super) seen: String,
}

impl Loss {
    /// The loss in one line, with its times relative to the signal.
    #[must_use]
    pub fn describe(&self, signal: Instant) -> impl fmt::Display {
        let ms = |at: Instant| {
            let (after, before) =
                (at.saturating_duration_since(signal), signal.saturating_duration_since(at));
            format!("{:+.3} ms", (after.as_secs_f64() - before.as_secs_f64()) * 1e3)
        };
        format!(
            "{} {} ({}): port {}, {} answered before; connected {}, wrote {}, then at {}: {}",
            self.requests,
            self.what,
            self.kind,
            self.local_port,
            self.answered_before,
            ms(self.connected),
            ms(self.wrote),
            ms(self.noticed),
            self.seen,
        )
    }
}

/// In milliseconds.
#[must_use]
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
