//! Counts requests by their outcomes.

use std::ops::AddAssign;

use serde::Serialize;

use super::Outcome;

/// Counts of outcomes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// Of those that were answered: with a status of 500 and above.
    pub(crate) server_errors: u64,
    pub(crate) lost: u64,
    pub(crate) dropped: u64,
    pub(crate) late: u64,
    pub(crate) told: u64,
    pub(crate) refused: u64,
    pub(crate) unheard: u64,
    pub(crate) timed_out: u64,
    /// Could not be sent by this side.
    pub(crate) not_counted: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Answered(status) => {
                self.server_errors += u64::from(status >= 500);
                &mut self.answered
            }
            Outcome::Lost => &mut self.lost,
            Outcome::Dropped => &mut self.dropped,
            Outcome::Late => &mut self.late,
            Outcome::Told => &mut self.told,
            Outcome::Refused => &mut self.refused,
            Outcome::Unheard => &mut self.unheard,
            Outcome::TimedOut => &mut self.timed_out,
            Outcome::Ours => &mut self.not_counted,
        };
        *count += 1;
    }

    /// Requests with any outcome.
    pub(crate) fn requests(&self) -> u64 {
        self.counts().iter().map(|(count, _)| count).sum()
    }

    /// The outcomes with their words. `server_errors` is no outcome: it is a part of `answered`.
    fn counts(&self) -> [(u64, &'static str); 9] {
        [
            (self.answered, "answered"),
            (self.lost, "lost"),
            (self.timed_out, "timed out"),
            (self.dropped, "dropped"),
            (self.late, "late"),
            (self.told, "told"),
            (self.refused, "refused"),
            (self.unheard, "unheard"),
            (self.not_counted, "not counted"),
        ]
    }

    /// Requests that the server had let in: those that can be lost.
    pub(crate) fn let_in(&self) -> u64 {
        self.answered + self.lost + self.timed_out
    }

    /// Requests without the answer that they should have had.
    pub(crate) fn missing(&self) -> u64 {
        self.lost + self.timed_out
    }

    /// The counts that are not zero, as a sentence.
    pub(crate) fn words(&self) -> String {
        let [answered, others @ ..] = self.counts();
        let server_errors = (self.server_errors, "of them with a status of 5xx");
        let counts = [answered, server_errors].into_iter().chain(others);
        let words: Vec<String> =
            counts.filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
        words.join(", ")
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.answered += other.answered;
        self.server_errors += other.server_errors;
        self.lost += other.lost;
        self.dropped += other.dropped;
        self.late += other.late;
        self.told += other.told;
        self.refused += other.refused;
        self.unheard += other.unheard;
        self.timed_out += other.timed_out;
        self.not_counted += other.not_counted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_counted_once() {
        let mut tally = Tally::default();
        for outcome in
            [Outcome::Answered(200), Outcome::Answered(503), Outcome::Lost, Outcome::TimedOut, Outcome::Late]
        {
            tally.add(outcome);
        }
        assert_eq!(tally.requests(), 5);
        assert_eq!((tally.let_in(), tally.missing(), tally.server_errors, tally.late), (4, 2, 1, 1));
        assert_eq!(tally.words(), "2 answered, 1 of them with a status of 5xx, 1 lost, 1 timed out, 1 late");
    }
}
