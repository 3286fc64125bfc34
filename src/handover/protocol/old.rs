//! The states of the process that hands over, for one handover. The module has no clock, socket or process.
//!
//! ```text
//!                takeover            ready              charged
//!   Awaiting ───────────> Offering ────────> HandedOver ─────────> Charged ──> Over (new has ended)
//!      │                     │                   └───────────────────────────────^
//!      └─────────────────────┴──> Over: new is ended, and nothing has changed
//!          deadline, failed, garbage, end of new, a stop of old
//! ```
//!
//! Until `ready` the old process changes nothing. With `ready` it says `yours`, and there is no way back.

use std::time::Instant;

use super::{ControlSocket, FromNew, Garbage};

/// How far a handover has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OldState {
    /// New was started, or has connected. It has not said anything.
    Awaiting {
        until: Instant,
        listeners: usize,
    },
    /// New has a copy of every descriptor. Old serves as before.
    Offering {
        until: Instant,
        listeners: usize,
    },
    /// New serves, and old drains. The connection stays open, so that each side sees the end of the other.
    HandedOver,
    /// New has answered `yours`.
    Charged,
    Over,
}

/// Something that happens to the handover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OldInput {
    Said(FromNew),
    Garbage(Garbage),
    /// The connection has ended, so new has ended or has given up.
    Eof,
    /// It is this time now.
    Clock(Instant),
    /// Old itself was asked to stop.
    StopAsked,
}

/// What old does about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OldAction {
    Nothing,
    /// Send the descriptors of the listeners, of the control socket and of standard error.
    Offer {
        pid: u32,
    },
    /// Say `yours`, leave the listeners that were taken, and drain.
    HandOver {
        control: ControlSocket,
        taken: Vec<usize>,
    },
    /// End new, have the listeners alone again, and serve on.
    EndNew(EndOfNew),
    /// New is in charge. The callers that wait for the handover are told.
    Charged,
    /// New has ended although it serves. Old drains on, because it has no listeners any more.
    ReportEnd,
    /// New was asked to stop, and has not waited for old. Old drains on.
    NoteStop,
}

/// Why old ends new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EndOfNew {
    /// New has ended by itself.
    Exited,
    /// New has said why it cannot serve.
    Failed(String),
    Garbage(Garbage),
    TimedOut,
    /// Old cannot give its listeners away, for this reason.
    NotOffered(String),
    /// Old was asked to stop.
    Stopping,
}

impl OldState {
    /// When the clock matters next.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            OldState::Awaiting { until, .. } | OldState::Offering { until, .. } => Some(*until),
            OldState::HandedOver | OldState::Charged | OldState::Over => None,
        }
    }

    pub(crate) fn step(&mut self, input: OldInput) -> OldAction {
        let (next, action) = match (&*self, input) {
            (OldState::Over, _) => return OldAction::Nothing,
            (OldState::HandedOver | OldState::Charged, OldInput::Clock(_) | OldInput::StopAsked) => {
                return OldAction::Nothing;
            }
            (OldState::HandedOver, OldInput::Said(FromNew::Charged)) => {
                (OldState::Charged, OldAction::Charged)
            }
            (OldState::Charged, OldInput::Said(FromNew::Stopped)) => (OldState::Over, OldAction::NoteStop),
            // New has nothing else to say after `yours`.
            (
                OldState::HandedOver | OldState::Charged,
                OldInput::Eof | OldInput::Said(_) | OldInput::Garbage(_),
            ) => (OldState::Over, OldAction::ReportEnd),
            (OldState::Awaiting { until, listeners }, OldInput::Said(FromNew::Takeover { pid })) => {
                (OldState::Offering { until: *until, listeners: *listeners }, OldAction::Offer { pid })
            }
            (OldState::Offering { listeners, .. }, OldInput::Said(FromNew::Ready { control, taken })) => {
                let is_increasing = taken.is_sorted_by(|before, after| before < after);
                match is_increasing && taken.last().is_none_or(|last| *last < *listeners) {
                    true => (OldState::HandedOver, OldAction::HandOver { control, taken }),
                    false => {
                        end(EndOfNew::Garbage(Garbage::new("the numbers of offered listeners, in order")))
                    }
                }
            }
            (_, OldInput::Said(FromNew::Failed { text })) => end(EndOfNew::Failed(text)),
            (OldState::Awaiting { .. }, OldInput::Said(_)) => {
                end(EndOfNew::Garbage(Garbage::new("softstop/1 takeover")))
            }
            (OldState::Offering { .. }, OldInput::Said(_)) => {
                end(EndOfNew::Garbage(Garbage::new("ready or failed")))
            }
            (OldState::Awaiting { until, .. } | OldState::Offering { until, .. }, OldInput::Clock(now)) => {
                match now < *until {
                    true => return OldAction::Nothing,
                    false => end(EndOfNew::TimedOut),
                }
            }
            (_, OldInput::Garbage(garbage)) => end(EndOfNew::Garbage(garbage)),
            (_, OldInput::Eof) => end(EndOfNew::Exited),
            (_, OldInput::StopAsked) => end(EndOfNew::Stopping),
        };
        *self = next;
        action
    }
}

fn end(why: EndOfNew) -> (OldState, OldAction) {
    (OldState::Over, OldAction::EndNew(why))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const LISTENERS: usize = 2;

    fn inputs(now: Instant) -> Vec<OldInput> {
        vec![
            OldInput::Said(FromNew::Takeover { pid: 7 }),
            OldInput::Said(FromNew::Ready { control: ControlSocket::Taken, taken: vec![0, 1] }),
            OldInput::Said(FromNew::Failed { text: "no".to_owned() }),
            OldInput::Said(FromNew::Charged),
            OldInput::Said(FromNew::Stopped),
            OldInput::Garbage(Garbage::new("sense")),
            OldInput::Eof,
            OldInput::Clock(now),
            OldInput::Clock(now + Duration::from_secs(9)),
            OldInput::StopAsked,
        ]
    }

    #[test]
    fn each_input_in_each_state() {
        let now = Instant::now();
        let until = now + Duration::from_secs(1);
        let (awaiting, offering) = (
            OldState::Awaiting { until, listeners: LISTENERS },
            OldState::Offering { until, listeners: LISTENERS },
        );
        let garbage = |expected: &str| OldAction::EndNew(EndOfNew::Garbage(Garbage::new(expected)));
        let end = |why| OldAction::EndNew(why);
        let hand_over = OldAction::HandOver { control: ControlSocket::Taken, taken: vec![0, 1] };
        let expected: [[OldAction; 10]; 5] = [
            [
                OldAction::Offer { pid: 7 },
                garbage("softstop/1 takeover"),
                end(EndOfNew::Failed("no".to_owned())),
                garbage("softstop/1 takeover"),
                garbage("softstop/1 takeover"),
                garbage("sense"),
                end(EndOfNew::Exited),
                OldAction::Nothing,
                end(EndOfNew::TimedOut),
                end(EndOfNew::Stopping),
            ],
            [
                garbage("ready or failed"),
                hand_over,
                end(EndOfNew::Failed("no".to_owned())),
                garbage("ready or failed"),
                garbage("ready or failed"),
                garbage("sense"),
                end(EndOfNew::Exited),
                OldAction::Nothing,
                end(EndOfNew::TimedOut),
                end(EndOfNew::Stopping),
            ],
            [
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::Charged,
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::Nothing,
                OldAction::Nothing,
                OldAction::Nothing,
            ],
            [
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::NoteStop,
                OldAction::ReportEnd,
                OldAction::ReportEnd,
                OldAction::Nothing,
                OldAction::Nothing,
                OldAction::Nothing,
            ],
            [const { OldAction::Nothing }; 10],
        ];
        let states = [awaiting, offering, OldState::HandedOver, OldState::Charged, OldState::Over];
        for (state, row) in states.iter().zip(expected) {
            for (input, action) in inputs(now).into_iter().zip(row) {
                let mut state = state.clone();
                assert_eq!(state.step(input.clone()), action, "{input:?} in {state:?}");
            }
        }
    }

    #[test]
    fn only_offered_listeners_can_be_taken_and_each_once() {
        let until = Instant::now();
        for taken in [vec![2], vec![0, 0], vec![1, 0], vec![0, 1, 2]] {
            let mut state = OldState::Offering { until, listeners: LISTENERS };
            let ready = FromNew::Ready { control: ControlSocket::Left, taken };
            let action = state.step(OldInput::Said(ready));
            assert!(matches!(action, OldAction::EndNew(EndOfNew::Garbage(_))), "{action:?}");
        }
    }

    proptest! {
        /// Whatever comes in whatever order: one offer at most; a handover only after it; new is ended at most once, and
        /// never after the handover.
        #[test]
        fn no_order_of_inputs_hands_over_twice_or_ends_a_process_that_serves(order in proptest::collection::vec(0..10_usize, 0..12)) {
            let now = Instant::now();
            let mut state = OldState::Awaiting { until: now + Duration::from_secs(1), listeners: LISTENERS };
            let (mut offers, mut handed_over, mut ended) = (0, 0, 0);
            for choice in order {
                match state.step(inputs(now).swap_remove(choice)) {
                    OldAction::Offer { .. } => offers += 1,
                    OldAction::HandOver { .. } => {
                        prop_assert_eq!((offers, ended), (1, 0));
                        handed_over += 1;
                    }
                    OldAction::EndNew(_) => {
                        prop_assert_eq!(handed_over, 0);
                        ended += 1;
                    }
                    OldAction::ReportEnd | OldAction::NoteStop | OldAction::Charged => prop_assert_eq!(handed_over, 1),
                    OldAction::Nothing => {}
                }
            }
            prop_assert!(offers <= 1 && handed_over <= 1 && ended <= 1);
        }
    }
}
