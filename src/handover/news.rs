//! News of a handover for the caller that waits: the lines of the new process, and the outcome.
//!
//! The new process may write faster than a client of the control socket reads. So only a few lines wait, and further ones are
//! dropped: standard error of the old process has all of them. The outcome is never dropped, and the teller never waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{self, Receiver, Sender},
};

use super::{HandoverError, Replaced};

/// The most lines that wait. A line has at most 1000 bytes.
const MOST_LINES: usize = 256;

#[derive(Debug)]
pub(super) enum News {
    /// A line of the new process.
    Line(String),
    Outcome(Result<Replaced, HandoverError>),
}

/// The thread of the handover, and the one that reads the lines.
#[derive(Debug, Clone)]
pub(super) struct Teller {
    sender: Sender<News>,
    waiting: Arc<AtomicUsize>,
}

#[derive(Debug)]
pub(super) struct Reader {
    receiver: Receiver<News>,
    waiting: Arc<AtomicUsize>,
}

pub(super) fn news() -> (Teller, Reader) {
    let (sender, receiver) = mpsc::channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Teller { sender, waiting: Arc::clone(&waiting) }, Reader { receiver, waiting })
}

impl Teller {
    /// Drops the line if too many wait, or if the reader has gone.
    pub(super) fn line(&self, line: &str) {
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= MOST_LINES
            || self.sender.send(News::Line(line.to_owned())).is_err()
        {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The last news.
    pub(super) fn outcome(&self, outcome: Result<Replaced, HandoverError>) {
        // The reader may have gone.
        _ = self.sender.send(News::Outcome(outcome));
    }
}

impl Reader {
    /// Waits for the next news. `None` if all tellers have ended without an outcome.
    pub(super) fn next(&self) -> Option<News> {
        let news = self.receiver.recv().ok()?;
        if matches!(news, News::Line(_)) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        Some(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::HandoverErrorKind;

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_the_outcome_is_not() {
        let (teller, reader) = news();
        for _ in 0..10 * MOST_LINES {
            teller.line("a line");
        }
        teller.outcome(Err(HandoverError::new(HandoverErrorKind::Failed, "no")));
        for _ in 0..MOST_LINES {
            assert!(matches!(reader.next(), Some(News::Line(_))));
        }
        assert!(matches!(reader.next(), Some(News::Outcome(Err(_)))));
        teller.line("one more");
        assert!(matches!(reader.next(), Some(News::Line(_))), "there is room again");
        drop(teller);
        assert!(reader.next().is_none());
    }
}
