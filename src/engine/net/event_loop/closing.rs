//! How the listeners end at a stop: refuse new clients, look for half-open handshakes, accept, close.
//!
//! ```text
//!           the drain begins                  no client waits, no handshake is half open; or the stop's time is over
//!   Open -----------------------> Closing --------------------------------------------------------------> closed
//!    | |    new clients are        every client in the accept queue, and every client whose
//!    | |    refused                handshake is half open, is still accepted
//!    | |                             ^
//!    | |                             | a further stop does not keep the listener
//!    | +---------------------------> kept, for the next start: clients that connect wait in the accept queue
//!    |      a stop that keeps it
//!    +-----------------------------> left as it is: other processes hold the socket, too
//! ```

use std::time::Instant;

use socket2::SockRef;

use super::{
    EventLoop,
    accepting::{Accepting, Listening, Stage},
};
use crate::{
    engine::{
        net::{
            handshake::{Cookies, HalfOpenCount, Wait, look, refuse_new},
            holding::Holder,
        },
        run::RunEvent,
    },
    isolation::journal,
    stop::{ListenerEnd, Straggler, Stuck, Timeline},
};

/// Listeners that refuse new clients, until every client whose handshake had begun has been accepted.
pub(super) struct Closing {
    began: Instant,
    /// The way in which new clients are refused.
    end: ListenerEnd,
    cookies: Cookies,
    handshakes: Handshakes,
}

/// What the loop knows of half-open handshakes.
enum Handshakes {
    /// The loop has not looked yet.
    Unknown,
    /// Some were half open. The loop looks again when `completed` says so, or at `until`.
    Awaited { completed: Completed, until: Instant },
    /// None was half open after so many accepts. If descriptors had run out, accept(2) could not tell whether a client waits,
    /// but an edge does.
    Over { rescued: u64 },
}

/// Whether all handshakes that were half open at the last look are complete.
enum Completed {
    /// They are after so many accepts since closing began.
    After { rescued: u64 },
    /// The kernel does not tell how many there are.
    Unknown,
}

impl Completed {
    fn is_reached(&self, rescued: u64) -> bool {
        matches!(self, Completed::After { rescued: expected } if rescued >= *expected)
    }
}

impl Closing {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.handshakes {
            Handshakes::Unknown | Handshakes::Over { .. } => None,
            Handshakes::Awaited { until, .. } => Some(until),
        }
    }
}

impl EventLoop {
    /// The drain begins: the listeners are closed, kept, or left to the others that hold them.
    pub(super) fn end_listening(&mut self) {
        if self.loop_context.drain.timeline().is_some_and(Timeline::keeps_listener) {
            self.keep_listeners();
        } else {
            self.close_listeners();
        }
    }

    /// Stops accepting, and leaves the sockets listening.
    fn keep_listeners(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        for mut listening in std::mem::take(&mut accepting.listeners) {
            self.deregister(&mut listening.listener.socket);
            self.kept.push(listening.listener);
        }
        self.log_pauses(&accepting);
        drop(accepting);
        self.listeners_ended(ListenerEnd::Kept, 0);
    }

    /// Closes kept listeners if a further stop does not keep them, in the way in which the drain would have closed them. If
    /// nothing is in flight any more, the loops are about to leave, and the listeners close at once.
    pub(super) fn close_kept_listeners(&mut self) {
        let keeps = self.loop_context.drain.timeline().is_some_and(Timeline::keeps_listener);
        if self.kept.is_empty() || keeps {
            return;
        }
        let listeners = std::mem::take(&mut self.kept);
        let Some(in_flight) = self.loop_context.run.in_flight.guard_unless_zero() else { return };
        self.listener_end = None;
        match self.accept_from(listeners, in_flight) {
            Ok(()) => self.close_listeners(),
            Err(error) => {
                journal::warn!(
                    "{}: clients in the accept queue are reset: {error}",
                    self.loop_context.config.name
                );
                self.listeners_ended(ListenerEnd::CutOff, 0);
            }
        }
    }

    /// Begins to close the listeners: see the head of this file.
    fn close_listeners(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        self.leave_shared(&mut accepting);
        let cookies = Cookies::since(accepting.cookies_before);
        // How they ended if other processes hold all of them.
        let mut end = ListenerEnd::Left;
        for listening in &mut accepting.listeners {
            listening.was_backlogged = std::mem::replace(&mut listening.backlogged, true);
            end = end.max(refuse_new(&SockRef::from(&listening.listener.socket), cookies));
        }
        accepting.stage = Stage::Closing(Closing {
            began: self.loop_context.now,
            end,
            cookies,
            handshakes: Handshakes::Unknown,
        });
        accepting.paused_at = None;
        self.accepting = Some(accepting);
    }

    /// Closes this process's descriptors of the listeners that other processes hold, too. The clients in their accept queues
    /// stay there.
    fn leave_shared(&self, accepting: &mut Accepting) {
        let is_shared = |listening: &mut Listening| listening.listener.holding.holder() == Holder::Shared;
        for mut shared in accepting.listeners.extract_if(.., is_shared) {
            self.deregister(&mut shared.listener.socket);
        }
    }

    /// Looks for half-open handshakes if it is time to, and accepts what has come. Returns whether the listeners are to be closed
    /// now. To be called when the loop has taken what was in their accept queues.
    pub(super) fn advance_closing(&mut self, accepting: &mut Accepting) -> bool {
        let now = self.loop_context.now;
        let Stage::Closing(closing) = &mut accepting.stage else { return false };
        if accepting.listeners.is_empty() || self.end_of_stop() <= now {
            return true;
        }
        // The kernel has promised these clients a connection. There will be a descriptor when another connection closes.
        if accepting.listeners.iter().any(|listening| listening.backlogged) {
            return false;
        }
        match &closing.handshakes {
            Handshakes::Awaited { completed, until }
                if !completed.is_reached(accepting.rescued) && now < *until =>
            {
                return false;
            }
            // If a client waited, the edge would have come in this turn, unless the loop paused and asked for it in this turn.
            Handshakes::Over { rescued } if accepting.rescued == *rescued => {
                return accepting.paused_at != Some(now);
            }
            _ => {}
        }
        let addresses: Vec<_> = accepting
            .listeners
            .iter()
            .filter_map(|listening| listening.listener.address.socket_addr())
            .collect();
        if let Some(Wait { handshakes, until }) =
            look(&addresses, closing.end, closing.cookies, (closing.began, now))
        {
            journal::debug!("{}: the listener waits for half-open handshakes", self.loop_context.config.name);
            let completed = match handshakes {
                HalfOpenCount::Known(count) => Completed::After { rescued: accepting.rescued + count },
                HalfOpenCount::Unknown => Completed::Unknown,
            };
            closing.handshakes = Handshakes::Awaited { completed, until };
            return false;
        }
        closing.handshakes = Handshakes::Over { rescued: accepting.rescued };
        // A handshake that was completed before the look is in the accept queue by now.
        accepting.listeners.iter_mut().for_each(|listening| listening.backlogged = true);
        self.take_from_queues(accepting);
        !accepting.is_backlogged() && accepting.paused_at.is_none()
    }

    /// Closes the listeners. Clients that wait in an accept queue are reset. If descriptors were lacking for them, the report
    /// names them.
    pub(super) fn drop_listeners(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        self.leave_shared(&mut accepting);
        self.log_pauses(&accepting);
        let (rescued, has_listeners) = (accepting.rescued, !accepting.listeners.is_empty());
        let end = match &accepting.stage {
            Stage::Closing(closing) if !accepting.is_backlogged() => closing.end,
            Stage::Closing(closing) => closing.end.max(ListenerEnd::CutOff),
            Stage::Open if has_listeners => ListenerEnd::CutOff,
            Stage::Open => ListenerEnd::Left,
        };
        if let (Stage::Closing(_), Some(_), true) =
            (&accepting.stage, accepting.paused_at, accepting.is_backlogged())
        {
            let began =
                self.loop_context.drain.timeline().map_or(self.loop_context.now, Timeline::drain_began);
            self.stragglers.push(Straggler {
                request: "clients that wait to be accepted".to_owned(),
                peer: None,
                age: self.loop_context.now.saturating_duration_since(began),
                stuck: Stuck::Accepting,
            });
        }
        // Close the sockets first, then tell the observer.
        drop(accepting);
        self.loop_context.tally.rescued.add(rescued);
        self.listeners_ended(end, rescued);
    }

    /// Tells the report, the observer and the log how the listeners have ended.
    fn listeners_ended(&mut self, end: ListenerEnd, rescued: u64) {
        let end = if self.has_listener_failed { ListenerEnd::Failed } else { end };
        self.listener_end = Some(end);
        self.loop_context.run.has_ended_listening();
        self.loop_context.announce(RunEvent::ListenerClosed { rescued, end });
        let name = &self.loop_context.config.name;
        match end {
            // No warning, because the failure was logged when it was seen, and the caller asked for a stop without time.
            ListenerEnd::Failed | ListenerEnd::CutOff => journal::debug!("{name}: the listener {end}"),
            end if end.can_lose() => journal::warn!("{name}: the listener {end}"),
            end => journal::debug!("{name}: the listener {end}"),
        }
    }

    fn end_of_stop(&self) -> Instant {
        self.loop_context.drain.timeline().map_or(self.loop_context.now, Timeline::end)
    }
}
