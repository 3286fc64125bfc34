//! The story of one request as its client saw it: steps, each with its time.

use std::time::{Duration, Instant};

use super::Outcome;

/// The most steps that a story keeps. Reads that follow each other are one step, because a slow reader has thousands.
const STEPS: usize = 24;

/// An action or an observation of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The connect began.
    Connecting,
    /// The handshake was complete for this side.
    Connected,
    /// The client wrote so many bytes.
    Sent(usize),
    /// The client read so many bytes.
    Got(usize),
    /// A whole response had come.
    Answered(u16),
    /// Anything else.
    Saw(&'static str),
}

/// The events of one connection, or of one request on it.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    /// The number of the client.
    pub(crate) client: usize,
    /// Responses that the connection had brought before.
    pub(crate) answered_before: usize,
    pub(crate) steps: Vec<(Instant, Step)>,
    pub(crate) outcome: Option<Outcome>,
}

impl Story {
    pub(crate) fn new() -> Story {
        Story { client: 0, answered_before: 0, steps: Vec::new(), outcome: None }
    }

    pub(crate) fn add(&mut self, step: Step) {
        let now = Instant::now();
        let is_full = self.steps.len() >= STEPS;
        match (self.steps.last_mut(), step) {
            // The time stays that of the first bytes.
            (Some((_, Step::Got(count))), Step::Got(more)) => *count += more,
            // The last step says how it ended.
            (Some(last), step) if is_full => *last = (now, step),
            (_, step) => self.steps.push((now, step)),
        }
    }

    pub(crate) fn end(mut self, outcome: Outcome) -> Story {
        self.outcome = Some(outcome);
        self
    }

    /// The bytes that came.
    pub(crate) fn received(&self) -> usize {
        self.steps.iter().map(|(_, step)| if let Step::Got(count) = step { *count } else { 0 }).sum()
    }

    /// When the request was written, if it was.
    pub(crate) fn sent(&self) -> Option<Instant> {
        self.steps.iter().rev().find(|(_, step)| matches!(step, Step::Sent(_))).map(|(at, _)| *at)
    }

    /// The steps in words, with their times relative to the signal.
    pub(crate) fn tell(&self, signal: Instant) -> Vec<String> {
        let words = |step: &Step| match step {
            Step::Connecting => "began to connect".to_owned(),
            Step::Connected => "connected".to_owned(),
            Step::Sent(count) => format!("sent {count} bytes"),
            Step::Got(count) => format!("got {count} bytes"),
            Step::Answered(status) => format!("had a whole response with status {status}"),
            Step::Saw(what) => (*what).to_owned(),
        };
        let mut lines: Vec<String> =
            self.steps.iter().map(|(at, step)| format!("{} {}", since(*at, signal), words(step))).collect();
        match self.answered_before {
            0 => {}
            1 => lines.insert(0, "1 response had come on this connection before".to_owned()),
            count => lines.insert(0, format!("{count} responses had come on this connection before")),
        }
        lines
    }
}

/// A time relative to the signal, such as `+1.234 ms`.
pub(crate) fn since(at: Instant, signal: Instant) -> String {
    format!("{:+.3} ms", milliseconds(at, signal))
}

/// A time relative to the signal in milliseconds; negative before it.
pub(crate) fn milliseconds(at: Instant, signal: Instant) -> f64 {
    let (after, before) = (at.saturating_duration_since(signal), signal.saturating_duration_since(at));
    let ms = |duration: Duration| duration.as_secs_f64() * 1e3;
    ms(after) - ms(before)
}
