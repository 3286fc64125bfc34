//! How the listeners end at a stop: refuse, look, accept, close.
//!
//! ```text
//!           the drain begins                  nobody waits, and no handshake is half open; or it is time
//!   Open -----------------------> Closing -----------------------------------------------------------> closed
//!    | |    new clients are        everybody in the accept queue, and everybody whose handshake
//!    | |    refused                is half open, is still accepted
//!    | |                             ^
//!    | |                             | a further stop does not keep it
//!    | +---------------------------> kept, for the next start: clients that connect wait in the accept queue
//!    |      a stop that keeps it
//!    +-----------------------------> left as it is: other processes hold it too
//! ```

use std::time::Instant;

use socket2::SockRef;

use super::{
    EventLoop,
    accepting::{Accepting, Stage},
};
use crate::{
    engine::{
        net::{
            handshake::{Cookies, Wait, look, refuse_new},
            listener::{Holder, Listener},
        },
        run::News,
    },
    isolation::journal,
    stop::{ListenerEnd, Straggler, Stuck, Timeline},
};

/// Listeners that refuse new clients, until everybody who was promised a connection has been accepted.
pub(super) struct Closing {
    began: Instant,
    /// The way in which new clients are refused.
    end: ListenerEnd,
    cookies: Cookies,
    handshakes: Handshakes,
}

/// What is known of half-open handshakes.
enum Handshakes {
    /// Somebody has been accepted since the last look, or there has been none.
    Unknown,
    /// So many accepts in all, or that time, end the waiting.
    Awaited { rescued: u64, until: Instant },
    /// None was half open after so many accepts. The queues could not be looked into any more, as there was no descriptor,
    /// but an edge tells whether anybody waits.
    Over { rescued: u64 },
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

    /// Accepts nobody any more, and leaves the sockets listening.
    fn keep_listeners(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        for mut listening in std::mem::take(&mut accepting.listeners) {
            self.deregister(&mut listening.socket);
            let (holder, place) = (listening.holder, listening.place);
            self.kept.push(Listener { socket: listening.socket.into(), holder, place });
        }
        self.tell_of_pauses(&accepting);
        drop(accepting);
        self.listeners_ended(ListenerEnd::Kept, 0);
    }

    /// A further stop does not keep the listeners: unless all is over already, they are closed as if it had been so from
    /// the beginning.
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

    /// Begins to close the listeners: see the picture above.
    fn close_listeners(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        self.leave_shared(&mut accepting);
        let cookies = Cookies::since(accepting.cookies_before);
        // If no listener was ours alone, that is how they ended.
        let mut end = ListenerEnd::Left;
        for listening in &mut accepting.listeners {
            listening.backlogged = true;
            end = end.max(refuse_new(&SockRef::from(&listening.socket), cookies));
        }
        accepting.stage = Stage::Closing(Closing {
            began: self.loop_context.now,
            end,
            cookies,
            handshakes: Handshakes::Unknown,
        });
        accepting.retry_at = None;
        self.accepting = Some(accepting);
    }

    /// Lets go of the listeners that others hold too. The clients in their accept queues stay there.
    fn leave_shared(&self, accepting: &mut Accepting) {
        for mut shared in accepting.listeners.extract_if(.., |listening| listening.holder == Holder::Shared) {
            self.deregister(&mut shared.socket);
        }
    }

    /// Whether the listeners may be closed by now, after what was in their queues has been taken.
    pub(super) fn may_close(&mut self, accepting: &mut Accepting) -> bool {
        let now = self.loop_context.now;
        let Stage::Closing(closing) = &mut accepting.stage else { return false };
        if accepting.listeners.is_empty() || self.end_of_stop() <= now {
            return true;
        }
        // The kernel has promised these clients a connection. As others finish, there will be a descriptor for it.
        if accepting.listeners.iter().any(|listening| listening.backlogged) {
            return false;
        }
        match closing.handshakes {
            Handshakes::Awaited { rescued, until } if accepting.rescued < rescued && now < until => {
                return false;
            }
            // The edge would have come in this turn, unless it was asked for in this turn.
            Handshakes::Over { rescued } if accepting.rescued == rescued => {
                return !accepting.has_paused_at(now);
            }
            _ => {}
        }
        let addresses: Vec<_> =
            accepting.listeners.iter().flat_map(|listening| listening.socket.local_addr()).collect();
        if let Some(Wait { accepts, until }) =
            look(&addresses, closing.end, closing.cookies, (closing.began, now))
        {
            journal::debug!(
                "{}: handshakes are half open, the listener waits for them",
                self.loop_context.config.name
            );
            closing.handshakes = Handshakes::Awaited { rescued: accepting.rescued + accepts, until };
            return false;
        }
        closing.handshakes = Handshakes::Over { rescued: accepting.rescued };
        // A handshake that was completed before the look is in the queue by now.
        accepting.listeners.iter_mut().for_each(|listening| listening.backlogged = true);
        self.take_from_queues(accepting);
        !accepting.is_backlogged() && accepting.retry_at.is_none()
    }

    /// Closes the listeners. The close resets the clients that are known to wait, and the report names them.
    pub(super) fn drop_listeners(&mut self) {
        let Some(mut accepting) = self.accepting.take() else { return };
        self.leave_shared(&mut accepting);
        self.tell_of_pauses(&accepting);
        let (rescued, has_listeners) = (accepting.rescued, !accepting.listeners.is_empty());
        let end = match &accepting.stage {
            Stage::Closing(closing) if !accepting.is_backlogged() => closing.end,
            Stage::Closing(closing) => closing.end.max(ListenerEnd::CutOff),
            Stage::Open if has_listeners => ListenerEnd::CutOff,
            Stage::Open => ListenerEnd::Left,
        };
        if let (Stage::Closing(_), Some(_), true) =
            (&accepting.stage, accepting.retry_at, accepting.is_backlogged())
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
        // Closed before anybody is told so.
        drop(accepting);
        self.loop_context.tally.rescued.add(rescued);
        self.listeners_ended(end, rescued);
    }

    /// Says how the listeners have ended: to the report, to the observer, and to the log if clients can have been lost.
    fn listeners_ended(&mut self, end: ListenerEnd, rescued: u64) {
        let end = if self.has_listener_failed { ListenerEnd::Failed } else { end };
        self.listener_end = Some(end);
        self.loop_context.announce(News::ListenerClosed { rescued, end });
        let name = &self.loop_context.config.name;
        match end {
            // The failure was logged when it was seen, and a stop without time is what the caller asked for.
            ListenerEnd::Failed | ListenerEnd::CutOff => journal::debug!("{name}: the listener {end}"),
            end if end.can_lose() => journal::warn!("{name}: the listener {end}"),
            end => journal::debug!("{name}: the listener {end}"),
        }
    }

    fn end_of_stop(&self) -> Instant {
        self.loop_context.drain.timeline().map_or(self.loop_context.now, Timeline::end)
    }
}
