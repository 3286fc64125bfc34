//! How a connection ends: by its client, by the clock, by the stop, or after its last response.

use std::{
    io,
    net::{Shutdown, SocketAddr},
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{
    Activity, Connection, Flow, Input, ReadSide, StopWaits, bytes::BYTES_A_TURN, refusals::withdraw,
    streaming::Streaming,
};
use crate::{
    app::request::Exchange,
    engine::{
        net::{
            loop_context::LoopContext,
            sock_diag::{TcpState, state_of, unacknowledged},
            socket::Stream,
        },
        run::{NotSpawned, Run, UserCode},
    },
    http::{ReadPhase, Transfer},
    isolation::journal,
    observe::{ConnectionId, Event},
    stop::{Cause, CloseReason, ConnectionState, Phase, Rhythm, Straggler, Stuck, Verdict},
    sync::Abandoned,
};

/// Counts an upgraded connection among the server's connections until its handler has returned.
struct Counted(Arc<Run>, usize);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connection_closed(self.1);
    }
}

impl Connection {
    /// Closes the connection in any state. If the stop cuts something off, that is returned as a straggler.
    pub(crate) fn close(self, reason: CloseReason, loop_context: &mut LoopContext) -> Option<Straggler> {
        let stuck = self.cut_off(reason, loop_context);
        let straggler = stuck
            .filter(|_| reason == CloseReason::Aborted)
            .and_then(|stuck| self.straggler(stuck, loop_context.now));
        let unanswered = matches!(
            self.activity,
            Activity::Content { .. } | Activity::Handling { .. } | Activity::Streaming(_)
        );
        loop_context.tally.aborted.add(u64::from(self.owed) + u64::from(unanswered));
        loop_context.tally.closed(reason);
        loop_context.observe(&Event::ConnectionClosed { connection: self.id(loop_context), reason });
        drop(self.stream);
        // The guard is dropped after the socket is closed: a thread that sees zero in flight sees every socket closed.
        drop(self.in_flight);
        straggler
    }

    /// Ends the request or the response that is under way, and says at which point. None if nothing is under way.
    fn cut_off(&self, reason: CloseReason, loop_context: &mut LoopContext) -> Option<Stuck> {
        match &self.activity {
            Activity::Content { .. } => Some(Stuck::Reading),
            Activity::Handling { exchange, incoming, .. } => {
                exchange.abandon(Abandoned::ClientGone);
                let has_begun = withdraw(exchange, loop_context).has_begun();
                if let Some(pipe) = incoming {
                    pipe.fail(io::ErrorKind::ConnectionReset, "the client is gone");
                }
                Some(if has_begun { Stuck::Handling } else { Stuck::Waiting })
            }
            Activity::Streaming(streaming) => {
                let Streaming { exchange, stream, transfer, .. } = &**streaming;
                loop_context.in_user_code(|_| {
                    exchange.abandon(Abandoned::ClientGone);
                    stream.discard(match reason {
                        CloseReason::Aborted => Cause::Stopping,
                        CloseReason::BodyFailed => Cause::from("the body was cut off"),
                        _ => Cause::ClientGone,
                    });
                });
                loop_context.have_read(stream, exchange);
                if let Transfer::UntilClose = transfer {
                    self.reset_when_closed();
                }
                Some(if self.output.is_empty() { Stuck::Streaming } else { Stuck::Writing })
            }
            Activity::Receiving if !self.output.is_empty() => Some(Stuck::Writing),
            Activity::Receiving if self.http.phase() == ReadPhase::InHead => Some(Stuck::Reading),
            Activity::Receiving if matches!(self.input, Input::Backlog(_) | Input::EndDue) => {
                Some(Stuck::Waiting)
            }
            Activity::Receiving | Activity::Upgrading { .. } | Activity::Lingering { .. } => None,
        }
    }

    /// What the connection was `stuck` in, for a report. None if a report names that request already.
    fn straggler(&self, stuck: Stuck, now: Instant) -> Option<Straggler> {
        let (request, began) = match (self.exchange(), stuck) {
            (Some(exchange), _) if exchange.name() => (exchange.to_string(), exchange.began),
            (Some(_), _) => return None,
            (None, Stuck::Writing) => ("a response".to_owned(), self.since),
            (None, Stuck::Reading) => ("a request head".to_owned(), self.since),
            (None, _) => ("pipelined requests".to_owned(), self.since),
        };
        let age = now.saturating_duration_since(began);
        Some(Straggler { request, peer: Some(self.peer.clone()), age, stuck })
    }

    /// The request that the connection is busy with.
    pub(super) fn exchange(&self) -> Option<&Arc<Exchange>> {
        match &self.activity {
            Activity::Content { request, .. } => Some(&request.exchange),
            Activity::Handling { exchange, .. } => Some(exchange),
            Activity::Streaming(streaming) => Some(&streaming.exchange),
            Activity::Receiving | Activity::Upgrading { .. } | Activity::Lingering { .. } => None,
        }
    }

    /// What the decisions of a stop need to know about the connection.
    pub(crate) fn standing(&self) -> ConnectionState {
        let since = self.since;
        match (&self.activity, &self.input) {
            (Activity::Lingering { reason, .. }, _) => ConnectionState::Lingering(*reason),
            _ if !self.output.is_empty() => ConnectionState::InFlight,
            // A backlog may hold whole requests, which one turn had no time for.
            (Activity::Receiving, Input::Backlog(_) | Input::EndDue) => ConnectionState::InFlight,
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

    /// Gives the connection to its handler, on a thread of its own, with the bytes that were read already.
    pub(crate) fn hand_over(self, loop_context: &mut LoopContext) {
        let Activity::Upgrading { exchange, upgrade } = self.activity else { return };
        let early = match self.input {
            Input::Empty | Input::EndDue => Vec::new(),
            Input::Partial(bytes) | Input::Backlog(bytes) => bytes,
        };
        let connection = ConnectionId { loop_number: loop_context.number, token: self.token.0 };
        let counted = Counted(Arc::clone(&loop_context.run), loop_context.number);
        let stream = self.stream;
        let code = UserCode::Upgraded(exchange);
        let spawned = loop_context.run.spawn(code, self.in_flight, move || {
            let _counted = counted;
            if let Err(error) = upgrade.run(stream.into(), early) {
                journal::warn!("a connection could not be handed over: {error}");
            }
        });
        let reason = match spawned {
            Ok(()) => CloseReason::Upgraded,
            Err(NotSpawned::Full) => CloseReason::Failed,
            Err(NotSpawned::Io(error)) => {
                loop_context.dispatcher.warn_of_lack("no thread for an upgraded connection", &error);
                CloseReason::Failed
            }
        };
        loop_context.tally.closed(reason);
        loop_context.observe(&Event::ConnectionClosed { connection, reason });
    }

    /// Makes the close a reset, so that the client does not take the close for the end of the content. A Unix-domain socket has no
    /// resets: there a content without a length that is cut off looks whole.
    fn reset_when_closed(&self) {
        if let Err(error) = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)) {
            journal::debug!("a response that was cut off may look whole: {error}");
        }
    }

    /// Reads once more, whether or not there was an edge: before a deadline closes the connection, or because the connection
    /// has waited to be accepted.
    ///
    /// A connection that owes nothing is then closed without lingering, for these reasons:
    ///
    /// - Lingering prevents a reset that destroys a response on its way (RFC 9112 section 9.6). None is on its way, because the
    ///   last one left an idle or quiet period ago.
    /// - A request that the client sends between this read and the close is lost either way. A lingering close would read that
    ///   request only to discard it.
    /// - A stop would have to wait for each idle client that keeps its socket open, and most do.
    pub(crate) fn look_again(&mut self, loop_context: &mut LoopContext) -> Flow {
        if let ReadSide::Waiting = self.read {
            self.read = ReadSide::Ready;
        }
        self.drive(loop_context)
    }

    /// The client has reset the connection, or closed it in both directions.
    pub(super) fn client_gone(&self) -> Flow {
        Flow::Close(match self.activity {
            Activity::Lingering { reason, .. } => reason,
            _ => CloseReason::ClientGone,
        })
    }

    /// Ends a lingering close (see docs/glossary.md) during a drain, on two conditions. The client's kernel has acknowledged our
    /// FIN, and with it the whole response. And the client has sent nothing that would make our close a reset.
    ///
    /// Outside a stop nothing is asked, because a lingering connection costs next to nothing. A stop would have to wait for each
    /// client that keeps its socket open after its last response.
    ///
    /// No timer is needed. The FIN and its acknowledgement each cause an edge, and connections that linger already when the
    /// drain begins are asked about once. If the kernel does not answer the question, the connection lingers as it does outside
    /// a stop.
    pub(super) fn end_linger(&mut self, loop_context: &mut LoopContext) -> Flow {
        let Activity::Lingering { reason, stop_waits: StopWaits::ForAcknowledgement } = self.activity else {
            return Flow::Wait;
        };
        if loop_context.phase() < Phase::Draining || !self.is_fin_acknowledged() {
            return Flow::Wait;
        }
        // The client may have sent something meanwhile.
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
        // What a Unix-domain socket has taken is in the client's receive queue at once, and survives our close.
        if let Stream::Unix(_) = self.stream {
            return true;
        }
        let state = self.addresses().map(|(local, peer)| state_of(local, peer));
        matches!(state, Some(Ok(Some(TcpState::FinWait2))))
    }

    /// The addresses of both ends, by which the kernel finds a TCP connection.
    fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        Some((self.stream.local_addr().ok()?, self.peer.socket_addr()?))
    }

    /// Ends our side of the connection after its last response, and decides whether to linger.
    pub(super) fn finish(
        &mut self,
        reason: CloseReason,
        loop_context: &mut LoopContext,
    ) -> ControlFlow<Flow> {
        if matches!(self.read, ReadSide::Ended)
            || self.may_close_outright(loop_context)
            || self.stream.shutdown(Shutdown::Write).is_err()
        {
            return ControlFlow::Break(Flow::Close(reason));
        }
        let input = std::mem::replace(&mut self.input, Input::Empty);
        let nothing_came_behind = self.http.is_answered_whole() && matches!(input, Input::Empty);
        let stop_waits = if nothing_came_behind { StopWaits::ForAcknowledgement } else { StopWaits::ForPeer };
        self.activity = Activity::Lingering { reason, stop_waits };
        self.since = loop_context.now;
        ControlFlow::Continue(())
    }

    /// Whether lingering has no purpose: the client has announced that nothing follows, and nothing has come. This reads once,
    /// because closing over as little as a stray empty line would cause a reset, which destroys the response on its way.
    ///
    /// Never during a stop. The process may end next, and its host with it, so the client's kernel has to confirm first that the
    /// response has arrived.
    fn may_close_outright(&mut self, loop_context: &mut LoopContext) -> bool {
        if !self.http.nothing_follows() || loop_context.run.is_stopping() {
            return false;
        }
        if let ReadSide::Waiting = self.read {
            self.read = ReadSide::Ready;
        }
        let mut scratch = std::mem::take(&mut loop_context.scratch);
        let looked = self.read(&mut scratch);
        loop_context.scratch = scratch;
        match looked {
            Ok(0) => true,
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Reads and discards during a lingering close. Bytes that were not read when the socket is closed make the kernel send a
    /// reset, which destroys a response on its way (RFC 9112 section 9.6).
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
