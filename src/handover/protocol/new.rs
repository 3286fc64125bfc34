//! The states of the process that takes over. The module has no clock, socket or process.
//!
//! ```text
//!              offer          offered          all servers serve        yours, or old is gone
//!   Hello ────────> Adopting ────────> Initialising ────────> Ready ──────────────────> Serving
//!     │                │                                        │                       (old drains, or is gone)
//!     └────────────────┴──> Failed                              └──> Ending
//!       refused, garbage, deadline                                   cancelled
//! ```
//!
//! If old dies, its part is over: new goes on with what has arrived, and binds the rest itself. If old says anything but `yours`
//! to a new process that is ready, new serves, too. There must be no moment without a server.

use std::{path::PathBuf, time::Instant};

use super::{FromOld, Garbage, Offered};
use crate::engine::net::FileIdentity;

/// How far the takeover has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewState {
    /// New has said `takeover`.
    Hello {
        until: Instant,
    },
    Adopting {
        until: Instant,
        announced: usize,
        arrived: usize,
    },
    /// Everything has arrived. The program reads its configuration and starts its servers.
    Initialising(OldProcess),
    /// New accepts, and has said `ready`. Old accepts, too, until it has said `yours`.
    Ready,
    Serving(OldProcess),
    /// Old has taken the handover back. New stops: its listeners are old's.
    Ending,
    Failed,
}

/// What new knows of the process that it takes over from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OldProcess {
    Alive,
    /// Gone at this time at the latest.
    Draining {
        until: Instant,
    },
    Gone,
}

/// Something that happens to the takeover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewInput {
    /// A message, and when it came.
    Said(FromOld, Instant),
    Garbage(Garbage),
    /// The connection has ended, so old has ended.
    Eof,
    /// It is this time now.
    Clock(Instant),
    /// All servers of new serve.
    Initialised,
}

/// What new does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewAction {
    Nothing,
    /// Old has introduced itself.
    Meet {
        generation: u32,
        pid: u32,
    },
    KeepListener(Offered),
    KeepControl(PathBuf, Option<FileIdentity>),
    KeepStderr,
    /// Initialise: everything has arrived that will arrive.
    Initialise,
    /// Say `ready`.
    SayReady,
    /// New is the one that serves: use the control socket, write the pid file.
    TakeCharge,
    /// The same, and no other process has the listeners.
    TakeChargeAlone,
    /// The same, but old may still have the listeners.
    TakeChargeShared,
    /// Old has closed the listeners: new has them alone.
    HaveAlone,
    /// Old has ended.
    OldEnded,
    /// What the drain of old waits for.
    Note(String),
    /// Stop gracefully, and leave the listeners.
    Stop(String),
    Fail(NewFailure),
}

/// Why a takeover fails before it has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NewFailure {
    Refused(String),
    Cancelled(String),
    Garbage(Garbage),
    TimedOut,
    /// The connection has ended before old said anything.
    NoAnswer,
}

impl NewState {
    /// When the clock matters next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            NewState::Hello { until } | NewState::Adopting { until, .. } => Some(*until),
            _ => None,
        }
    }

    pub(crate) fn step(&mut self, input: NewInput) -> NewAction {
        let (next, action) = self.next(input);
        if let Some(next) = next {
            *self = next;
        }
        action
    }

    /// The next state, if it is another one.
    fn next(&self, input: NewInput) -> (Option<NewState>, NewAction) {
        let stay = |action| (None, action);
        let garbage = |expected: &str| fail(NewFailure::Garbage(Garbage::new(expected)));
        match (self, input) {
            (NewState::Failed | NewState::Ending, _) => stay(NewAction::Nothing),
            (NewState::Hello { until }, NewInput::Said(FromOld::Offer { generation, pid, listeners }, _)) => {
                let adopting = NewState::Adopting { until: *until, announced: listeners, arrived: 0 };
                (Some(adopting), NewAction::Meet { generation, pid })
            }
            (NewState::Hello { .. }, NewInput::Said(FromOld::Refused { text }, _)) => {
                fail(NewFailure::Refused(text))
            }
            (NewState::Hello { .. }, NewInput::Eof) => fail(NewFailure::NoAnswer),
            (
                NewState::Hello { .. } | NewState::Adopting { .. },
                NewInput::Said(FromOld::Cancelled { text }, _),
            ) => fail(NewFailure::Cancelled(text)),
            (NewState::Hello { .. }, NewInput::Said(..)) => garbage("softstop/1 offer"),
            (
                NewState::Adopting { until, announced, arrived },
                NewInput::Said(FromOld::Listener(listener), _),
            ) if listener.number == *arrived && arrived < announced => {
                let (until, announced, arrived) = (*until, *announced, arrived + 1);
                (Some(NewState::Adopting { until, announced, arrived }), NewAction::KeepListener(listener))
            }
            (NewState::Adopting { .. }, NewInput::Said(FromOld::Control { path, file }, _)) => {
                stay(NewAction::KeepControl(path, file))
            }
            (NewState::Adopting { .. }, NewInput::Said(FromOld::Stderr, _)) => stay(NewAction::KeepStderr),
            (NewState::Adopting { announced, arrived, .. }, NewInput::Said(FromOld::Offered, _))
                if announced == arrived =>
            {
                (Some(NewState::Initialising(OldProcess::Alive)), NewAction::Initialise)
            }
            (NewState::Adopting { .. }, NewInput::Said(..)) => {
                garbage("the listeners that were announced, in order, then offered")
            }
            (NewState::Adopting { .. } | NewState::Initialising(_), NewInput::Eof) => {
                (Some(NewState::Initialising(OldProcess::Gone)), NewAction::Initialise)
            }
            (NewState::Hello { until } | NewState::Adopting { until, .. }, NewInput::Clock(now)) => {
                if now < *until { stay(NewAction::Nothing) } else { fail(NewFailure::TimedOut) }
            }
            (NewState::Hello { .. } | NewState::Adopting { .. }, NewInput::Garbage(garbage)) => {
                fail(NewFailure::Garbage(garbage))
            }
            (NewState::Initialising(OldProcess::Gone), NewInput::Initialised) => {
                (Some(NewState::Serving(OldProcess::Gone)), NewAction::TakeChargeAlone)
            }
            (NewState::Initialising(_), NewInput::Initialised) => {
                (Some(NewState::Ready), NewAction::SayReady)
            }
            (NewState::Ready, NewInput::Said(FromOld::Yours { within }, at)) => {
                let old = OldProcess::Draining { until: at + within };
                (Some(NewState::Serving(old)), NewAction::TakeCharge)
            }
            (NewState::Ready, NewInput::Eof) => {
                (Some(NewState::Serving(OldProcess::Gone)), NewAction::TakeChargeAlone)
            }
            (NewState::Initialising(_) | NewState::Ready, NewInput::Said(FromOld::Cancelled { text }, _)) => {
                (Some(NewState::Ending), NewAction::Stop(text))
            }
            // This may have been meant as `yours`. Then old drains, and new must serve. Otherwise old finds the connection closed,
            // and ends new.
            (NewState::Ready, NewInput::Said(..) | NewInput::Garbage(_)) => {
                (Some(NewState::Serving(OldProcess::Gone)), NewAction::TakeChargeShared)
            }
            (NewState::Initialising(_), NewInput::Said(..) | NewInput::Garbage(_)) => {
                stay(NewAction::Nothing)
            }
            (NewState::Serving(OldProcess::Gone), _) => stay(NewAction::Nothing),
            (NewState::Serving(_), NewInput::Said(FromOld::Closed, _)) => stay(NewAction::HaveAlone),
            (NewState::Serving(_), NewInput::Said(FromOld::Draining { text }, _)) => {
                stay(NewAction::Note(text))
            }
            // New listens no more to an old process that says anything else.
            (NewState::Serving(_), NewInput::Eof | NewInput::Said(..) | NewInput::Garbage(_)) => {
                (Some(NewState::Serving(OldProcess::Gone)), NewAction::OldEnded)
            }
            (_, NewInput::Clock(_) | NewInput::Initialised) => stay(NewAction::Nothing),
        }
    }
}

fn fail(why: NewFailure) -> (Option<NewState>, NewAction) {
    (Some(NewState::Failed), NewAction::Fail(why))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn listener(number: usize) -> FromOld {
        let text = || "x".to_owned();
        FromOld::Listener(Offered {
            number,
            server: text(),
            index: 0,
            spec: text(),
            address: text(),
            file: None,
        })
    }

    fn messages() -> Vec<FromOld> {
        vec![
            FromOld::Offer { generation: 1, pid: 7, listeners: 1 },
            listener(0),
            FromOld::Control { path: "/run/control".into(), file: None },
            FromOld::Stderr,
            FromOld::Offered,
            FromOld::Refused { text: "busy".to_owned() },
            FromOld::Cancelled { text: "stopping".to_owned() },
            FromOld::Yours { within: Duration::from_secs(6) },
            FromOld::Closed,
            FromOld::Draining { text: "1 request".to_owned() },
        ]
    }

    fn inputs(now: Instant) -> Vec<NewInput> {
        let said = messages().into_iter().map(|message| NewInput::Said(message, now));
        let rest = [
            NewInput::Garbage(Garbage::new("sense")),
            NewInput::Eof,
            NewInput::Clock(now),
            NewInput::Clock(now + Duration::from_secs(9)),
            NewInput::Initialised,
        ];
        said.chain(rest).collect()
    }

    /// A letter for each action, so that the table below can be read.
    fn letter(action: &NewAction) -> char {
        match action {
            NewAction::Nothing => '.',
            NewAction::Meet { .. } => 'M',
            NewAction::KeepListener(_) => 'L',
            NewAction::KeepControl(..) => 'C',
            NewAction::KeepStderr => 'S',
            NewAction::Initialise => 'I',
            NewAction::SayReady => 'R',
            NewAction::TakeCharge => 'T',
            NewAction::TakeChargeAlone => 'A',
            NewAction::TakeChargeShared => 'B',
            NewAction::HaveAlone => 'H',
            NewAction::OldEnded => 'E',
            NewAction::Note(_) => 'N',
            NewAction::Stop(_) => 'x',
            NewAction::Fail(_) => 'F',
        }
    }

    #[test]
    fn each_input_in_each_state() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        // Offer, listener, control, stderr, offered, refused, cancelled, yours, closed, draining;
        // garbage, end, clock before and after the deadline, initialised.
        let rows = [
            (NewState::Hello { until }, "MFFFFFFFFF FF.F."),
            (NewState::Adopting { until, announced: 1, arrived: 0 }, "FLCSFFFFFF FI.F."),
            (NewState::Adopting { until, announced: 1, arrived: 1 }, "FFCSIFFFFF FI.F."),
            (NewState::Initialising(OldProcess::Alive), "......x... .I..R"),
            (NewState::Initialising(OldProcess::Gone), "......x... .I..A"),
            (NewState::Ready, "BBBBBBxTBB BA..."),
            (NewState::Serving(OldProcess::Draining { until }), "EEEEEEEEHN EE..."),
            (NewState::Serving(OldProcess::Gone), ".......... ....."),
            (NewState::Ending, ".......... ....."),
            (NewState::Failed, ".......... ....."),
        ];
        for (state, row) in rows {
            let expected: String = row.split(' ').collect();
            let seen: String =
                inputs(now).into_iter().map(|input| letter(&state.clone().step(input))).collect();
            assert_eq!(seen, expected, "{state:?}");
        }
    }

    #[test]
    fn a_handover_as_it_should_be() {
        let now = Instant::now();
        let mut state = NewState::Hello { until: now };
        let order = [0, 1, 2, 3, 4, 14, 7, 8, 9, 11];
        let seen: String = order.map(|at| letter(&state.step(inputs(now).swap_remove(at)))).iter().collect();
        assert_eq!(seen, "MLCSIRTHNE");
    }

    proptest! {
        /// New says `ready` once at most, and takes charge once at most. It never takes charge of what old has taken back.
        #[test]
        fn no_order_of_inputs_makes_new_take_charge_twice_or_after_it_has_stopped(order in proptest::collection::vec(0..15_usize, 0..20)) {
            let now = Instant::now();
            let mut state = NewState::Hello { until: now + Duration::from_secs(1) };
            let (mut ready, mut charge, mut over) = (0, 0, 0);
            for choice in order {
                match state.step(inputs(now).swap_remove(choice)) {
                    NewAction::SayReady => ready += 1,
                    NewAction::TakeCharge => { prop_assert_eq!(ready, 1); charge += 1 }
                    NewAction::TakeChargeAlone | NewAction::TakeChargeShared => charge += 1,
                    NewAction::Stop(_) | NewAction::Fail(_) => { prop_assert_eq!(charge, 0); over += 1 }
                    _ => {}
                }
            }
            prop_assert!(ready <= 1 && charge <= 1 && over <= 1);
            prop_assert!(charge + over <= 1);
        }
    }
}
