//! The connections of a loop: adding, driving and closing them.

use std::io;

use mio::{Interest, Token};

use super::EventLoop;
use crate::{
    engine::{
        net::{
            connection::{Connection, Flow},
            loop_context::LoopContext,
            socket::Stream,
            table::slot_of,
        },
        run::Census,
    },
    isolation::journal,
    observe,
    peer::Peer,
    stop::{CloseReason, ConnectionState, WaitGuard},
};

/// Urgent data ends a read early. So a connection must be told of urgent data, because a request may have an urgent byte in its
/// midst. (mio reports urgent data on Linux only.)
#[cfg(any(target_os = "linux", target_os = "android"))]
const URGENT: Interest = Interest::PRIORITY;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const URGENT: Interest = Interest::READABLE;

impl EventLoop {
    /// Lets something happen to a connection, and does what follows from that.
    pub(super) fn deal_with(
        &mut self,
        token: Token,
        happening: impl FnOnce(&mut Connection, &mut LoopContext) -> Flow,
    ) {
        let Some(connection) = self.table.get_mut(token) else { return };
        let flow = happening(connection, &mut self.loop_context);
        self.settle(token, flow);
    }

    /// Does what follows from what has happened to a connection.
    pub(super) fn settle(&mut self, token: Token, flow: Flow) {
        match flow {
            Flow::Wait | Flow::Again => {
                let Some(connection) = self.table.get_mut(token) else { return };
                self.deadlines.set(slot_of(token), connection.deadline(&self.loop_context));
                if flow == Flow::Again {
                    self.again.push(token);
                }
            }
            Flow::Close(reason) => self.close(token, reason),
            Flow::HandOver => self.hand_over(token),
        }
    }

    /// Closes a connection, and counts the reason. (The only other way out of the table is `hand_over`.)
    pub(super) fn close(&mut self, token: Token, reason: CloseReason) {
        let Some(connection) = self.table.remove(token) else { return };
        self.deadlines.set(slot_of(token), None);
        self.loop_context.run.connection_closed(self.loop_context.number);
        self.stragglers.extend(connection.close(reason, &mut self.loop_context));
    }

    /// Gives a connection to its handler, which has asked for it by an upgrade.
    fn hand_over(&mut self, token: Token) {
        let Some(mut connection) = self.table.remove(token) else { return };
        self.deadlines.set(slot_of(token), None);
        match self.poll.registry().deregister(connection.stream()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                journal::debug!("{}: {error}", self.loop_context.config.name);
            }
            // Deregistered, or never registered.
            _ => {}
        }
        connection.hand_over(&mut self.loop_context);
    }

    /// What the connections are doing.
    pub(super) fn census(&mut self) -> Census {
        let mut census = Census::default();
        for token in self.table.tokens() {
            let Some(connection) = self.table.get_mut(token) else { continue };
            match connection.standing() {
                ConnectionState::Quiet { .. } => census.idle += 1,
                ConnectionState::Lingering(_) => census.closing += 1,
                ConnectionState::InHead { .. } | ConnectionState::InFlight => {
                    census.in_flight.push(connection.in_flight());
                }
            }
        }
        census
    }

    /// Adds a connection. The loop watches it from [`EventLoop::receive_arrivals`] on.
    pub(super) fn add(&mut self, stream: Stream, peer: Peer, in_flight: WaitGuard) {
        let shared = peer.clone();
        let context = &self.loop_context;
        let token =
            self.table.insert_with(|token| Connection::new(stream, shared, token, in_flight, context));
        self.arrivals.push(token);
        self.deal_with(token, |connection, loop_context| {
            let opened =
                observe::Event::ConnectionOpened { connection: connection.id(loop_context), peer: &peer };
            loop_context.observe(&opened);
            Flow::Wait
        });
    }

    /// Watches the connections that were added in this turn.
    ///
    /// Of several connections at once, most have waited long enough to have sent their request. So they are read before they are
    /// watched, because a connection that ends after its request needs no watch. One connection alone has mostly sent nothing
    /// yet, and a read would be a system call for nothing.
    pub(super) fn receive_arrivals(&mut self) {
        let mut arrivals = std::mem::take(&mut self.arrivals);
        let have_waited = arrivals.len() > 1;
        for token in arrivals.drain(..) {
            if have_waited {
                self.deal_with(token, Connection::look_again);
            }
            let Some(connection) = self.table.get_mut(token) else { continue };
            // Once for its whole life, for both kinds of edges. The first edge comes for what is there already. The connection's
            // state says which edges matter.
            let interest = Interest::READABLE | Interest::WRITABLE | URGENT;
            if let Err(error) = self.poll.registry().register(connection.stream(), token, interest) {
                if let Some(times) = self.unwatched.count(self.loop_context.now) {
                    let name = &self.loop_context.config.name;
                    journal::warn!(
                        "{name}: cannot watch a connection ({times} since the last line): {error}"
                    );
                }
                self.close(token, CloseReason::Failed);
            }
        }
        self.arrivals = arrivals;
    }
}
