//! Questions that another thread asks all loops of a run, through their mailboxes. Only a turn of the loop answers, so an answer
//! also shows that the loop turns.
//!
//! ```text
//!   asking thread:  one Question into each mailbox ----> waits on the condition variable, until a deadline
//!   loop:           its next turn takes the Question --> Answer::Turned, with what was asked for
//!                   it has left, or leaves ------------> the drop of the Question: Answer::Left
//!                   it is blocked ---------------------> no answer: the loop is silent
//! ```
//!
//! A loop never waits: it fills in the answer while holding a lock for a few instructions.

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use super::Run;
use crate::{app::router::RouteId, engine::net::LoopMessage, observe::ConnectionId, stop::Stuck, sync::lock};

/// What the asking thread wants to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Whether the loop turns.
    Turning,
    /// What the loop's connections are doing, too.
    Connections,
}

/// One loop's copy of a question. To answer it takes it; to drop it says that the loop has left.
pub(crate) struct Question {
    call: Arc<Shared>,
    pub(crate) subject: Subject,
    answer: Answer,
    /// The questions that the loop has not taken.
    unanswered: Arc<AtomicUsize>,
}

/// The most questions that wait for one loop. A loop that is blocked takes none, and its mailbox must not grow with every call.
const MOST_UNANSWERED: usize = 16;

/// What a loop has said.
enum Answer {
    Left,
    Turned(Census),
}

/// What the connections of one loop, or of several, are doing.
#[derive(Debug, Default)]
pub(crate) struct Census {
    pub(crate) idle: usize,
    pub(crate) closing: usize,
    pub(crate) in_flight: Vec<InFlight>,
}

/// One connection that owes something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InFlight {
    /// The connection and the number of the request on it. None before there is a request.
    pub(crate) id: Option<(ConnectionId, u64)>,
    pub(crate) route: Option<RouteId>,
    /// A request whose handler may run is `Waiting`: only the pool knows whether a worker has begun with it.
    pub(crate) state: Stuck,
    pub(crate) began: Instant,
}

/// A question to all loops of a run that is under way.
pub(crate) struct RollCall(Arc<Shared>);

struct Shared {
    answers: Mutex<Answers>,
    changed: Condvar,
}

struct Answers {
    silent: usize,
    census: Census,
}

impl Question {
    pub(crate) fn answer(mut self, census: Census) {
        self.answer = Answer::Turned(census);
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.unanswered.fetch_sub(1, Ordering::Relaxed);
        let mut answers = lock(&self.call.answers);
        answers.silent -= 1;
        if let Answer::Turned(census) = std::mem::replace(&mut self.answer, Answer::Left) {
            answers.census.idle += census.idle;
            answers.census.closing += census.closing;
            answers.census.in_flight.extend(census.in_flight);
        }
        drop(answers);
        self.call.changed.notify_all();
    }
}

impl Run {
    /// Asks every loop. Never blocks. A loop that has not taken many questions already is not asked again, and is silent.
    pub(crate) fn call_the_roll(&self, subject: Subject) -> RollCall {
        let answers = Answers { silent: self.loops.len(), census: Census::default() };
        let call = Arc::new(Shared { answers: Mutex::new(answers), changed: Condvar::new() });
        for address in &self.loops {
            let unanswered = Arc::clone(&address.unanswered);
            if unanswered.fetch_add(1, Ordering::Relaxed) >= MOST_UNANSWERED {
                unanswered.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let question = Question { call: Arc::clone(&call), subject, answer: Answer::Left, unanswered };
            // A loop that has left hands the question back, and its drop says so.
            drop(address.mailbox.send(LoopMessage::Asked(question)));
        }
        RollCall(call)
    }
}

impl RollCall {
    /// Waits until every loop has answered or left, at most until `deadline`. Returns the number of loops that have done neither,
    /// and what the others have said since the last call.
    pub(crate) fn wait_until(&self, deadline: Instant) -> (usize, Census) {
        let mut answers = lock(&self.0.answers);
        while answers.silent > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            answers = self.0.changed.wait_timeout(answers, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        (answers.silent, std::mem::take(&mut answers.census))
    }
}
