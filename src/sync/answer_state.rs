//! The state of one request on its way to an answer. A worker, the loop, an access log and a report each take a step of their
//! own, on different threads, and each step has one winner.
//!
//! ```text
//!   who answers:
//!                begin (a worker)            withdraw (the loop)
//!     Queued -----------------------> Begun ---------------------> Cancelled
//!        |                            the handler answers          the handler runs on, and was counted once
//!        |     withdraw (the loop, for the stop, the time limit, a lost client, or want of a thread)
//!        +--------------------------> Withdrawn
//!                                     no handler begins; the loop answers, unless the client is gone
//!
//!   who waits for the answer:      Client ---- abandon (the loop) ------> nobody: ClientGone | TimedOut
//!   the line of the access log:    Owed ------ log_answer (a worker) ---> Answer
//!                                  Owed ------ log_refusal (the loop) --> Refusal
//!   the report of the stop:        Unnamed --- name --------------------> Named
//! ```
//!
//! The four parts change independently, but they stand in one atomic number. So no thread can see one part of a step without
//! the other, and a request has one state to reset. A request that its loop handles itself stays `Queued`, because no other
//! thread competes for it.

use super::{AtomicUsize, Ordering, fence};

/// What has become of a request so far.
#[derive(Debug)]
pub(crate) struct AnswerState(AtomicUsize);

/// Why nobody waits for the answer any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// The client has gone.
    ClientGone,
    /// The route's time is over, and the client is sent another response.
    TimedOut,
}

/// What [`AnswerState::withdraw`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withdrawal {
    /// No handler has begun, and none will. The caller decides about the answer.
    Withdrawn,
    /// An earlier call withdrew the request. The earlier caller decides about the answer.
    AlreadyWithdrawn,
    /// A handler has begun and runs on. The caller counts it as cancelled.
    Cancelled,
    /// A handler has begun and runs on. An earlier caller counted it.
    AlreadyCancelled,
}

impl Withdrawal {
    /// Whether a handler has been called, or is about to be.
    pub(crate) fn has_begun(self) -> bool {
        matches!(self, Withdrawal::Cancelled | Withdrawal::AlreadyCancelled)
    }
}

/// All parts of the state, unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parts {
    stage: Stage,
    audience: Audience,
    line: Line,
    naming: Naming,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Queued,
    Begun,
    Cancelled,
    Withdrawn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    Client,
    Nobody(Abandoned),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Owed,
    Answer,
    Refusal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Unnamed,
    Named,
}

impl AnswerState {
    pub(crate) fn new() -> AnswerState {
        AnswerState(AtomicUsize::new(Parts::FIRST.pack()))
    }

    /// For a worker that has taken the request from the queue: whether to call the handler.
    pub(crate) fn begin(&self) -> bool {
        // A worker that begins sees everything that came before, and so does a loop that withdraws.
        let begin = |parts| match parts {
            Parts { stage: Stage::Queued, .. } => Some(Parts { stage: Stage::Begun, ..parts }),
            _ => None,
        };
        self.change(Ordering::AcqRel, begin).is_ok()
    }

    /// Takes the request back before a handler begins, or marks the handler that has begun as cancelled.
    pub(crate) fn withdraw(&self) -> Withdrawal {
        let withdraw = |parts: Parts| {
            let stage = match parts.stage {
                Stage::Queued => Stage::Withdrawn,
                Stage::Begun => Stage::Cancelled,
                Stage::Cancelled | Stage::Withdrawn => return None,
            };
            Some(Parts { stage, ..parts })
        };
        match self.change(Ordering::AcqRel, withdraw) {
            Ok(Parts { stage: Stage::Queued, .. }) => Withdrawal::Withdrawn,
            Ok(_) => Withdrawal::Cancelled,
            Err(Parts { stage: Stage::Withdrawn, .. }) => Withdrawal::AlreadyWithdrawn,
            Err(_) => Withdrawal::AlreadyCancelled,
        }
    }

    /// Notes that nobody waits for the answer any more. The first reason stays.
    ///
    /// The caller looks for the handler's context afterwards, and ends it if there is one. A thread that makes the context
    /// calls [`abandonment`](AnswerState::abandonment) after making it. At least one of the two sees the other.
    pub(crate) fn abandon(&self, why: Abandoned) {
        let abandon = |parts: Parts| match parts.audience {
            Audience::Client => Some(Parts { audience: Audience::Nobody(why), ..parts }),
            Audience::Nobody(_) => None,
        };
        _ = self.change(Ordering::Relaxed, abandon);
        fence(Ordering::SeqCst);
    }

    /// Why nobody waits, for a thread that has just made the handler's context: see [`abandon`](AnswerState::abandon).
    pub(crate) fn abandonment(&self) -> Option<Abandoned> {
        fence(Ordering::SeqCst);
        match self.load().audience {
            Audience::Client => None,
            Audience::Nobody(why) => Some(why),
        }
    }

    /// Whether nobody waits for the answer any more. The answer may be out of date by the time the caller has it.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.load().audience != Audience::Client
    }

    /// Whether an access log may write the handler's answer. Each access log around the handler may, unless the refusal of
    /// the request is in the log already.
    pub(crate) fn log_answer(&self) -> bool {
        self.claim_line(Line::Answer) == Line::Answer
    }

    /// Whether an access log is to write the refusal of the request: not if the handler's answer is in the log already.
    pub(crate) fn log_refusal(&self) -> bool {
        self.claim_line(Line::Refusal) == Line::Refusal
    }

    /// True for the first caller, which names the request in a report.
    pub(crate) fn name(&self) -> bool {
        let name = |parts: Parts| match parts.naming {
            Naming::Unnamed => Some(Parts { naming: Naming::Named, ..parts }),
            Naming::Named => None,
        };
        self.change(Ordering::Relaxed, name).is_ok()
    }

    /// The line that is in the log, now that a caller wants to write `wanted`.
    fn claim_line(&self, wanted: Line) -> Line {
        let claim = |parts: Parts| match parts.line {
            Line::Owed => Some(Parts { line: wanted, ..parts }),
            Line::Answer | Line::Refusal => None,
        };
        self.change(Ordering::Relaxed, claim).map_or_else(|parts| parts.line, |_| wanted)
    }

    fn load(&self) -> Parts {
        Parts::unpack(self.0.load(Ordering::Relaxed))
    }

    /// Takes one step, if `step` allows one from where the state is: the parts before it. An error has the parts that allow
    /// no step.
    fn change(&self, order: Ordering, step: impl Fn(Parts) -> Option<Parts>) -> Result<Parts, Parts> {
        let seen = if order == Ordering::Relaxed { Ordering::Relaxed } else { Ordering::Acquire };
        let packed_step = |packed| step(Parts::unpack(packed)).map(Parts::pack);
        self.0.fetch_update(order, seen, packed_step).map(Parts::unpack).map_err(Parts::unpack)
    }
}

/// Two bits for each part, from the lowest ones: stage, audience, line, naming.
impl Parts {
    const FIRST: Parts =
        Parts { stage: Stage::Queued, audience: Audience::Client, line: Line::Owed, naming: Naming::Unnamed };

    fn pack(self) -> usize {
        let stage = match self.stage {
            Stage::Queued => 0,
            Stage::Begun => 1,
            Stage::Cancelled => 2,
            Stage::Withdrawn => 3,
        };
        let audience = match self.audience {
            Audience::Client => 0,
            Audience::Nobody(Abandoned::ClientGone) => 1,
            Audience::Nobody(Abandoned::TimedOut) => 2,
        };
        let line = match self.line {
            Line::Owed => 0,
            Line::Answer => 1,
            Line::Refusal => 2,
        };
        let naming = match self.naming {
            Naming::Unnamed => 0,
            Naming::Named => 1,
        };
        stage | audience << 2 | line << 4 | naming << 6
    }

    fn unpack(packed: usize) -> Parts {
        let bits = |shift: u32| packed >> shift & 0b11;
        Parts {
            stage: match bits(0) {
                0 => Stage::Queued,
                1 => Stage::Begun,
                2 => Stage::Cancelled,
                _ => Stage::Withdrawn,
            },
            audience: match bits(2) {
                0 => Audience::Client,
                1 => Audience::Nobody(Abandoned::ClientGone),
                _ => Audience::Nobody(Abandoned::TimedOut),
            },
            line: match bits(4) {
                0 => Line::Owed,
                1 => Line::Answer,
                _ => Line::Refusal,
            },
            naming: match bits(6) {
                0 => Naming::Unnamed,
                _ => Naming::Named,
            },
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked_unchanged() {
        let stages = [Stage::Queued, Stage::Begun, Stage::Cancelled, Stage::Withdrawn];
        let audiences = [None, Some(Abandoned::ClientGone), Some(Abandoned::TimedOut)];
        let lines = [Line::Owed, Line::Answer, Line::Refusal];
        let mut seen = std::collections::BTreeSet::new();
        for (stage, audience) in stages.iter().flat_map(|stage| audiences.map(|audience| (*stage, audience)))
        {
            for (line, naming) in
                lines.iter().flat_map(|line| [(*line, Naming::Unnamed), (*line, Naming::Named)])
            {
                let audience = audience.map_or(Audience::Client, Audience::Nobody);
                let parts = Parts { stage, audience, line, naming };
                assert_eq!(Parts::unpack(parts.pack()), parts);
                assert!(seen.insert(parts.pack()), "{parts:?} is packed as another state is");
            }
        }
    }

    #[test]
    fn a_request_that_was_withdrawn_is_not_begun() {
        let state = AnswerState::new();
        assert_eq!(state.withdraw(), Withdrawal::Withdrawn);
        assert!(!state.begin());
        assert_eq!(state.withdraw(), Withdrawal::AlreadyWithdrawn);
    }

    #[test]
    fn a_handler_that_has_begun_is_cancelled_once() {
        let state = AnswerState::new();
        assert!(state.begin());
        assert_eq!(
            [state.withdraw(), state.withdraw()],
            [Withdrawal::Cancelled, Withdrawal::AlreadyCancelled]
        );
        assert!(!state.begin());
    }

    #[test]
    fn the_first_reason_stays_and_the_parts_do_not_touch_each_other() {
        let state = AnswerState::new();
        assert_eq!((state.is_abandoned(), state.abandonment()), (false, None));
        state.abandon(Abandoned::TimedOut);
        state.abandon(Abandoned::ClientGone);
        assert!([state.name(), state.begin(), state.log_refusal()] == [true; 3]);
        assert_eq!((state.is_abandoned(), state.abandonment()), (true, Some(Abandoned::TimedOut)));
        assert!(!state.name());
    }

    #[test]
    fn every_access_log_writes_the_answer_or_one_writes_the_refusal() {
        let answered = AnswerState::new();
        let steps = [answered.log_answer(), answered.log_answer(), answered.log_refusal()];
        assert_eq!(steps, [true, true, false]);
        let refused = AnswerState::new();
        assert_eq!([refused.log_refusal(), refused.log_answer()], [true, false]);
    }
}

#[cfg(all(test, loom))]
mod models {
    use super::*;
    use loom::{
        sync::{Arc, atomic::AtomicBool},
        thread,
    };

    /// A worker against two loops: the one with the connection, and one that found no thread for the whole queue.
    #[test]
    fn one_of_a_worker_and_two_loops_decides() {
        loom::model(|| {
            let state = Arc::new(AnswerState::new());
            let [worker, other] = [Arc::clone(&state), Arc::clone(&state)];
            let worker = thread::spawn(move || worker.begin());
            let other = thread::spawn(move || other.withdraw());
            let found = [state.withdraw(), other.join().unwrap()];
            let began = worker.join().unwrap();
            let count = |wanted| found.iter().filter(|found| **found == wanted).count();
            if began {
                assert_eq!((count(Withdrawal::Cancelled), count(Withdrawal::AlreadyCancelled)), (1, 1));
            } else {
                assert_eq!((count(Withdrawal::Withdrawn), count(Withdrawal::AlreadyWithdrawn)), (1, 1));
            }
        });
    }

    /// `made` stands for the context, which a handler makes when it first asks for it.
    #[test]
    fn a_context_that_is_made_while_the_client_goes_is_ended() {
        loom::model(|| {
            let shared = Arc::new((AnswerState::new(), AtomicBool::new(false)));
            let handler = thread::spawn({
                let shared = Arc::clone(&shared);
                move || {
                    shared.1.store(true, Ordering::Release);
                    shared.0.abandonment()
                }
            });
            shared.0.abandon(Abandoned::ClientGone);
            let loop_saw_context = shared.1.load(Ordering::Acquire);
            let handler_saw = handler.join().unwrap();
            assert!(loop_saw_context || handler_saw == Some(Abandoned::ClientGone));
        });
    }

    #[test]
    fn the_log_has_one_line() {
        loom::model(|| {
            let state = Arc::new(AnswerState::new());
            let worker = thread::spawn({
                let state = Arc::clone(&state);
                move || state.log_answer()
            });
            let refusal = state.log_refusal();
            assert!(worker.join().unwrap() != refusal);
        });
    }

    /// The parts share a number: a step in one of them must not undo a step in another one.
    #[test]
    fn no_step_is_lost() {
        loom::model(|| {
            let state = Arc::new(AnswerState::new());
            let worker = thread::spawn({
                let state = Arc::clone(&state);
                move || (state.begin(), state.log_answer())
            });
            state.abandon(Abandoned::TimedOut);
            assert!(state.name());
            assert_eq!(worker.join().unwrap(), (true, true));
            assert_eq!(state.withdraw(), Withdrawal::Cancelled);
            assert!(state.is_abandoned() && !state.name() && !state.log_refusal());
        });
    }

    #[test]
    fn a_straggler_is_named_once() {
        loom::model(|| {
            let state = Arc::new(AnswerState::new());
            let other = thread::spawn({
                let state = Arc::clone(&state);
                move || state.name()
            });
            assert!(state.name() != other.join().unwrap());
        });
    }
}
