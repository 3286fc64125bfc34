//! How a connection ends: by its peer, by the clock, by the stop, or after its last response.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{
    Activity, Connection, Flow, Input, PREFIX, ReadSide, StopWaits, bytes::BYTES_A_TURN, streaming::Streaming,
};
use crate::{
    engine::{
        net::{
            loop_context::LoopContext,
            sock_diag::{TcpState, state_of, unacknowledged},
            socket_writer::{Next, SocketWriter},
        },
        run::Run,
    },
    http::{ReadPhase, Transfer},
    isolation::journal,
    observe::{ConnectionId, Event},
    stop::{Cause, CloseReason, ConnectionState, Phase, Rhythm, Straggler, Stuck, Verdict},
};

/// An upgraded connection is one of the server's to its end: their number bounds the threads.
struct Counted(Arc<Run>, usize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connection_closed(self.1);
    }
}

impl Connection {
    /// Closes it, whatever it is at. What the stop cuts off is named.
    pub(crate) fn close(self, reason: CloseReason, loop_context: &mut LoopContext) -> Option<Straggler> {
        let mut aborted = self.owed;
        let mut straggler = None;
        let now = loop_context.now;
        let unfinished = |request: String, began: Instant, stuck| {
            let age = now.saturating_duration_since(began);
            Some(Straggler { request, peer: Some(self.peer.clone()), age, stuck })
        };
        match &self.activity {
            Activity::Content { request, .. } => {
                aborted += 1;
                straggler = unfinished(request.exchange.to_string(), request.exchange.began, Stuck::Reading);
            }
            Activity::Handling { exchange, incoming, .. } => {
                exchange.client_gone();
                // One that no worker has begun with is not begun any more.
                let has_begun = !exchange.claim();
                let stuck = if has_begun { Stuck::Handling } else { Stuck::Waiting };
                if reason == CloseReason::Aborted && exchange.name_once() {
                    straggler = unfinished(exchange.to_string(), exchange.began, stuck);
                }
                if let Some(pipe) = incoming {
                    pipe.fail(io::ErrorKind::ConnectionReset, "the client is gone");
                }
                aborted += 1;
                if has_begun && exchange.cancel_once() {
                    loop_context.tally.cancelled.add(1);
                }
            }
            Activity::Streaming(streaming) => {
                let Streaming { exchange, stream, transfer, .. } = &**streaming;
                loop_context.in_user_code(|_| {
                    exchange.client_gone();
                    stream.discard(match reason {
                        CloseReason::Aborted => Cause::Stopping,
                        CloseReason::BodyFailed => Cause::from("the body was cut off"),
                        _ => Cause::ClientGone,
                    });
                });
                loop_context.have_read(stream, exchange);
                let stuck = if self.output.is_empty() { Stuck::Streaming } else { Stuck::Writing };
                if reason == CloseReason::Aborted && exchange.name_once() {
                    straggler = unfinished(exchange.to_string(), exchange.began, stuck);
                }
                if let Transfer::UntilClose = transfer {
                    self.reset_when_closed();
                }
                aborted += 1;
            }
            Activity::Receiving if !self.output.is_empty() => {
                straggler = unfinished("a response".to_owned(), self.since, Stuck::Writing);
            }
            Activity::Receiving if self.http.phase() == ReadPhase::InHead => {
                straggler = unfinished("a request head".to_owned(), self.since, Stuck::Reading);
            }
            Activity::Receiving if matches!(self.input, Input::Backlog(_)) => {
                straggler = unfinished("pipelined requests".to_owned(), self.since, Stuck::Waiting);
            }
            Activity::Receiving | Activity::Upgrading { .. } | Activity::Lingering { .. } => {}
        }
        loop_context.tally.aborted.add(aborted);
        loop_context.tally.closed(reason);
        loop_context.observe(&Event::ConnectionClosed { connection: self.id(loop_context), reason });
        drop(self.stream);
        // Last, so that whoever sees zero sees every socket closed.
        drop(self.in_flight);
        straggler.filter(|_| reason == CloseReason::Aborted)
    }

    /// What a stop has to know of it.
    pub(crate) fn standing(&self) -> ConnectionState {
        let since = self.since;
        match (&self.activity, &self.input) {
            (Activity::Lingering { reason, .. }, _) => ConnectionState::Lingering(*reason),
            _ if !self.output.is_empty() => ConnectionState::InFlight,
            // Whole requests may stand in a backlog that one turn could not deal with.
            (Activity::Receiving, Input::Backlog(_)) => ConnectionState::InFlight,
            (Activity::Receiving, _) if self.http.phase() == ReadPhase::Idle => {
                ConnectionState::Quiet { since, rhythm: self.rhythm }
            }
            (Activity::Receiving, _) => ConnectionState::InHead { since },
            (
                Activity::Content { .. }
                | Activity::Handling { .. }
                | Activity::Streaming(_)
                | Activity::Upgrading { .. },
                _,
            ) => ConnectionState::InFlight,
        }
    }

    /// Gives it to its handler, on a thread of its own, with what was read already.
    pub(crate) fn hand_over(self, loop_context: &mut LoopContext) {
        let Activity::Upgrading { exchange, upgrade } = self.activity else { return };
        let early = match self.input {
            Input::Empty => Vec::new(),
            Input::Partial(bytes) | Input::Backlog(bytes) => bytes,
        };
        let reason = CloseReason::Upgraded;
        let connection = ConnectionId { loop_number: loop_context.number, token: self.token.0 };
        let counted = Counted(Arc::clone(&loop_context.run), loop_context.number);
        let stream = self.stream.into();
        let handled = loop_context.dispatcher.spawn(&exchange, self.in_flight, move || {
            let _counted = counted;
            if let Err(error) = upgrade.run(stream, early) {
                journal::warn!("a connection could not be handed over: {error}");
            }
        });
        let reason = if handled { reason } else { CloseReason::Failed };
        loop_context.tally.closed(reason);
        loop_context.observe(&Event::ConnectionClosed { connection, reason });
    }

    /// Makes the close a reset, so that the client does not take it for the end of what it reads.
    fn reset_when_closed(&self) {
        if let Err(error) = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)) {
            journal::debug!("a response that was cut off may look whole: {error}");
        }
    }

    /// Reads once more, whether or not there was an edge: before the clock has its way, or since it has waited to be accepted.
    ///
    /// A connection that is owed nothing is closed outright if there is nothing, without lingering. To linger is to spare
    /// the peer a reset that takes a response from its hands (RFC 9112 section 9.6), and none is on its way: the last
    /// one left an idle or quiet period ago. A request that is sent in the moment between this read and the close is
    /// lost either way, as a lingering close would read it only to forget it; and a stop would have to wait for each
    /// idle peer that does not close before it is about to use the connection again, as most do not.
    pub(crate) fn look_again(&mut self, loop_context: &mut LoopContext) -> Flow {
        if let ReadSide::Waiting = self.read {
            self.read = ReadSide::Ready;
        }
        self.drive(loop_context)
    }

    /// The peer has reset the connection, or closed it in both directions.
    pub(super) fn client_gone(&self) -> Flow {
        Flow::Close(match self.activity {
            Activity::Lingering { reason, .. } => reason,
            _ => CloseReason::ClientGone,
        })
    }

    /// Sends the next byte of the response's first ones ahead. A client that has only closed its side takes it; one
    /// that is gone makes its kernel answer with a reset, which arrives as the next event. TCP has no other way to
    /// tell the two apart, as both send the same FIN.
    ///
    /// Of a response in chunks it is the next chunk's size, which may have any number of leading zeros (RFC 9112 section
    /// 7.1).
    pub(super) fn probe(&mut self, loop_context: &LoopContext) -> Flow {
        let (probes, byte) = match &mut self.activity {
            Activity::Handling { probes, .. } => {
                let byte = PREFIX[*probes];
                (probes, byte)
            }
            Activity::Streaming(streaming) => (&mut streaming.probes, b'0'),
            _ => return Flow::Wait,
        };
        let mut writer = SocketWriter { socket: &self.stream, next: Next::Open };
        match writer.write(&[byte]) {
            Ok(sent) => *probes += sent,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => return self.client_gone(),
        }
        self.since = loop_context.now;
        Flow::Wait
    }

    /// Ends a lingering close if the client's kernel has acknowledged our FIN, and with it the whole response, and if the client
    /// has sent nothing that a close would answer with a reset. Only during a drain: outside a stop a lingering connection
    /// costs next to nothing, but a stop would wait for each client that keeps its socket open after its last response.
    ///
    /// No timer is needed: the FIN and its acknowledgement each give an edge, and what lingers when the drain begins is asked
    /// about once. Where the kernel does not answer the question, the connection lingers as it does outside a stop.
    pub(super) fn end_linger(&mut self, loop_context: &mut LoopContext) -> Flow {
        let Activity::Lingering { reason, stop_waits: StopWaits::ForAcknowledgement } = self.activity else {
            return Flow::Wait;
        };
        if loop_context.phase() < Phase::Draining || !self.is_fin_acknowledged() {
            return Flow::Wait;
        }
        // Something may have come meanwhile.
        match self.look_again(loop_context) {
            Flow::Wait
                if matches!(self.activity, Activity::Lingering { stop_waits: StopWaits::ForPeer, .. }) =>
            {
                Flow::Wait
            }
            Flow::Wait => Flow::Close(reason),
            flow => flow,
        }
    }

    /// Called when the quiet period is over. If the client has not acknowledged the last response, a packet of that response
    /// was probably lost: the client cannot send its next request yet, and its rhythm says nothing about this pause. The
    /// connection then has the longest quiet period, [`StopPolicy::quiet`](crate::StopPolicy::quiet).
    ///
    /// The kernel is asked only about connections that are younger than that. Where it does not answer, the rhythm decides.
    pub(super) fn end_quiet(&mut self, loop_context: &LoopContext) -> Flow {
        let longest = ConnectionState::Quiet { since: self.since, rhythm: Rhythm::default() };
        let is_response_under_way = || {
            let queued = self.addresses().map(|(local, peer)| unacknowledged(local, peer));
            matches!(queued, Some(Ok(Some(1..))))
        };
        match loop_context.drain.verdict(longest) {
            Verdict::CloseAt(at) if at > loop_context.now && is_response_under_way() => {
                self.rhythm = Rhythm::default();
                Flow::Wait
            }
            _ => Flow::Close(CloseReason::Drained),
        }
    }

    fn is_fin_acknowledged(&self) -> bool {
        let state = self.addresses().map(|(local, peer)| state_of(local, peer));
        matches!(state, Some(Ok(Some(TcpState::FinWait2))))
    }

    /// The addresses of both ends, by which the kernel finds a TCP connection.
    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((self.stream.local_addr().ok()?, self.peer.socket_addr()?))
    }

    /// The lingering close: reads and forgets, so that nothing that arrives late makes the kernel answer with a reset,
    /// which would take the response from the peer's hands (RFC 9112 section 9.6).
    pub(super) fn discard(&mut self, reason: CloseReason, loop_context: &mut LoopContext) -> Flow {
        let mut scratch = std::mem::take(&mut loop_context.scratch);
        let mut budget = BYTES_A_TURN;
        let flow = loop {
            match self.read(&mut scratch) {
                Ok(0) => break Flow::Close(reason),
                Ok(count) => {
                    self.activity = Activity::Lingering { reason, stop_waits: StopWaits::ForPeer };
                    budget = budget.saturating_sub(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Flow::Wait,
                Err(_) => break Flow::Close(reason),
            }
            if budget == 0 {
                break Flow::Again;
            }
        };
        loop_context.scratch = scratch;
        flow
    }
}
