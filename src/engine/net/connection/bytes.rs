//! The bytes of a connection: out of the socket into the HTTP core, and out of the output buffer into the socket.
//!
//! ```text
//!   drive:  flush (what an earlier event has left), then again and again
//!
//!             take in ------------------------------------------> flush
//!             a request's bytes:  receive, process                the socket takes all of it, or no more for now
//!             a stream's content: pull
//!
//!           until there is nothing to take in, the socket is full, or the budget of the turn is used up
//! ```

use std::{
    io,
    ops::ControlFlow::{self, Break, Continue},
};

use super::{Activity, Behind, Connection, Flow, Input, Persistence, Plan, ReadSide, streaming::Pulled};
use crate::{
    engine::net::{
        loop_context::LoopContext,
        output::Flushed,
        socket_writer::{Following, SocketWriter},
        throughput::Throughput,
    },
    http::{ReadEvent, ReadPhase, Refusal, StatusCode},
    observe,
    stop::CloseReason,
};

/// Requests that are answered in one go before the loop's other connections have their turn.
const REQUESTS_A_TURN: usize = 128;
/// Bytes that are read in one go, for the same reason.
pub(super) const BYTES_A_TURN: usize = 256 * 1024;
/// Bytes that are read at a time to complete a message that has begun.
const READ_SIZE: usize = 4 * 1024;

/// What a connection may still take in before the others have their turn.
struct Budget {
    requests: usize,
    bytes: usize,
}

/// The bytes behind those that were consumed.
#[derive(Debug, Clone, Copy)]
enum Leftover {
    /// The beginning of a message. The next step needs more input.
    Partial,
    /// May hold whole requests, which have to wait for something else than input.
    Backlog,
}

impl Budget {
    fn is_used_up(&self) -> bool {
        self.requests == 0 || self.bytes == 0
    }

    fn spend(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Connection {
    /// Goes on until the connection has to wait for something.
    pub(crate) fn drive(&mut self, loop_context: &mut LoopContext) -> Flow {
        self.output.borrow(&mut loop_context.output);
        let mut budget = Budget { requests: REQUESTS_A_TURN, bytes: BYTES_A_TURN };
        // An earlier event may have left a response. Nothing is taken in before the client has taken that.
        let mut step = self.write_out(loop_context);
        let flow = loop {
            if let Break(flow) = step {
                break flow;
            }
            step = match self.take_in(&mut budget, loop_context) {
                Continue(()) => self.write_out(loop_context),
                Break(flow) => Break(flow),
            };
        };
        self.output.give_back(&mut loop_context.output);
        flow
    }

    /// One step towards the output: from the socket or from a stream, whichever the connection waits for.
    fn take_in(&mut self, budget: &mut Budget, loop_context: &mut LoopContext) -> ControlFlow<Flow> {
        match (&self.activity, &self.persistence) {
            (Activity::Streaming(_), _) => self.take_content(budget, loop_context),
            (Activity::Upgrading { .. }, _) => Break(Flow::HandOver),
            (Activity::Handling { incoming: Some(pipe), .. }, _) if !pipe.is_paused() => {
                self.take_requests(budget, loop_context)
            }
            (Activity::Handling { .. }, _) => Break(Flow::Wait),
            (Activity::Lingering { reason, .. }, _) => Break(self.discard(*reason, loop_context)),
            (_, Persistence::CloseWhenSent(reason)) => self.finish(*reason, loop_context),
            (_, Persistence::KeepAlive) => self.take_requests(budget, loop_context),
        }
    }

    /// Pulls the next piece of the content that is sent.
    fn take_content(&mut self, budget: &mut Budget, loop_context: &mut LoopContext) -> ControlFlow<Flow> {
        match self.pull(loop_context) {
            Pulled::Bytes(count) => budget.spend(count),
            Pulled::Nothing => return Break(Flow::Wait),
            Pulled::Cut => return Break(Flow::Close(self.reason_to_cut(loop_context))),
        }
        if budget.bytes == 0 { Break(Flow::Again) } else { Continue(()) }
    }

    /// Deals with the requests that came before and had to wait, or receives bytes and deals with these.
    fn take_requests(&mut self, budget: &mut Budget, loop_context: &mut LoopContext) -> ControlFlow<Flow> {
        if budget.is_used_up() {
            return Break(Flow::Again);
        }
        let unprocessed = match &mut self.input {
            Input::Backlog(backlog) => Some(std::mem::take(backlog)),
            Input::EndDue => Some(Vec::new()),
            Input::Empty | Input::Partial(_) => None,
        };
        if let Some(input) = unprocessed {
            self.process_owned(input, budget, loop_context);
            return Continue(());
        }
        match self.receive(budget, loop_context) {
            Ok(0) if self.http.phase() == ReadPhase::Idle => {
                return Break(Flow::Close(CloseReason::PeerClosed));
            }
            Ok(0) => {
                let refusal =
                    Refusal::new(StatusCode::BAD_REQUEST, "the request ended before it was complete");
                self.refuse(&refusal, CloseReason::ClientGone, loop_context);
            }
            Ok(count) => budget.spend(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Break(Flow::Wait),
            Err(_) if self.http.phase() == ReadPhase::Idle => {
                return Break(Flow::Close(CloseReason::PeerClosed));
            }
            Err(_) => return Break(Flow::Close(CloseReason::ClientGone)),
        }
        Continue(())
    }

    /// Flushes, and ends the turn if the socket takes no more.
    fn write_out(&mut self, loop_context: &mut LoopContext) -> ControlFlow<Flow> {
        match self.flush(loop_context) {
            Ok(Flushed::All) => Continue(()),
            Ok(Flushed::Blocked { .. }) => Break(Flow::Wait),
            Err(_) => Break(self.client_gone()),
        }
    }

    pub(super) fn flush(&mut self, loop_context: &mut LoopContext) -> io::Result<Flushed> {
        // `owed` counts a response whose bytes may all have left before its end was known.
        if self.output.is_empty() && self.owed == 0 {
            return Ok(Flushed::All);
        }
        // Bytes that the kernel takes at once do not show that the client takes any.
        let was_blocked = self.output.is_blocked();
        let following = match self.persistence {
            Persistence::KeepAlive => Following::More,
            Persistence::CloseWhenSent(_) => Following::Fin,
        };
        let flushed = self.output.flush(SocketWriter { socket: &self.stream, following })?;
        match flushed {
            Flushed::All => {
                loop_context.tally.completed.add(self.owed.into());
                if self.owed > 0 || matches!(self.persistence, Persistence::CloseWhenSent(_)) {
                    let (connection, through) = (self.id(loop_context), self.answered.saturating_sub(1));
                    loop_context.observe(&observe::Event::ResponsesWritten { connection, through });
                }
                self.owed = 0;
                self.since = loop_context.now;
            }
            Flushed::Blocked { .. } if !was_blocked => self.throughput = Throughput::new(loop_context.now),
            Flushed::Blocked { bytes: 0 } => {}
            Flushed::Blocked { bytes } => self.throughput.add(bytes, loop_context.now),
        }
        Ok(flushed)
    }

    /// Reads once, and deals with the bytes that came. `Ok(0)` is the end of the stream.
    fn receive(&mut self, budget: &mut Budget, loop_context: &mut LoopContext) -> io::Result<usize> {
        match std::mem::replace(&mut self.input, Input::Empty) {
            Input::Empty | Input::EndDue => {
                let mut scratch = std::mem::take(&mut loop_context.scratch);
                let result = self.read(&mut scratch);
                if let Ok(count @ 1..) = result {
                    self.note_pause(loop_context);
                    let (consumed, leftover) = self.process(&scratch[..count], budget, loop_context);
                    self.keep(scratch[consumed..count].to_vec(), leftover);
                }
                loop_context.scratch = scratch;
                result
            }
            // The earlier bytes stay where they are. A client that sends byte by byte must not cause a copy each time.
            Input::Partial(mut input) | Input::Backlog(mut input) => {
                let carried = input.len();
                input.resize(carried + READ_SIZE, 0);
                let result = self.read(&mut input[carried..]);
                input.truncate(carried + *result.as_ref().unwrap_or(&0));
                match result {
                    Ok(1..) => self.process_owned(input, budget, loop_context),
                    _ => self.input = Input::Partial(input),
                }
                result
            }
        }
    }

    /// Notes how long the client has paused, if the bytes that have just come begin a further request. Bytes that come in the
    /// turn in which the response was written are no pause, because the client sent them before the response arrived.
    fn note_pause(&mut self, loop_context: &LoopContext) {
        if self.answered > 0 && self.since < loop_context.now && self.http.phase() == ReadPhase::Idle {
            self.rhythm.note(loop_context.now - self.since);
        }
    }

    /// One read. Its result decides whether there is more to read before the next edge.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.read {
            ReadSide::Waiting => return Err(io::ErrorKind::WouldBlock.into()),
            ReadSide::Ended => return Ok(0),
            ReadSide::Ready | ReadSide::Urgent | ReadSide::HangingUp => {}
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => {
                    self.read = ReadSide::Ended;
                    return Ok(0);
                }
                Ok(count) => {
                    if count < buffer.len() && matches!(self.read, ReadSide::Ready) {
                        self.read = ReadSide::Waiting;
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() == io::ErrorKind::WouldBlock {
                        self.read = ReadSide::Waiting;
                    }
                    return Err(error);
                }
            }
        }
    }

    fn process_owned(&mut self, mut input: Vec<u8>, budget: &mut Budget, loop_context: &mut LoopContext) {
        let (consumed, leftover) = self.process(&input, budget, loop_context);
        input.drain(..consumed);
        self.keep(input, leftover);
    }

    /// Keeps the bytes that were not consumed. If the connection is about to close, nothing reads them any more. But a lingering
    /// close has to know that they came.
    fn keep(&mut self, rest: Vec<u8>, leftover: Leftover) {
        self.input = match (&self.persistence, leftover) {
            _ if rest.is_empty() => Input::Empty,
            (Persistence::CloseWhenSent(_), _) | (_, Leftover::Partial) => Input::Partial(rest),
            (Persistence::KeepAlive, Leftover::Backlog) => Input::Backlog(rest),
        };
    }

    fn takes_input(&self) -> bool {
        match &self.activity {
            Activity::Receiving | Activity::Content { .. } => true,
            Activity::Handling { incoming, .. } => incoming.as_ref().is_some_and(|pipe| !pipe.is_paused()),
            Activity::Streaming(_) | Activity::Upgrading { .. } | Activity::Lingering { .. } => false,
        }
    }

    /// Takes requests out of `input` for as long as they can be dealt with. Returns the number of bytes that were consumed,
    /// and the kind of the others.
    fn process(
        &mut self,
        input: &[u8],
        budget: &mut Budget,
        loop_context: &mut LoopContext,
    ) -> (usize, Leftover) {
        let limits = loop_context.config.limits.clone();
        let was_in_head = self.http.phase() == ReadPhase::InHead;
        let mut consumed = 0;
        loop {
            let can_go_on = self.takes_input()
                && matches!(self.persistence, Persistence::KeepAlive)
                && !self.output.is_full()
                && budget.requests > 0;
            if !can_go_on {
                return (consumed, Leftover::Backlog);
            }
            let rest = &input[consumed..];
            let received = match self.http.receive(rest, loop_context.next_head(), &limits) {
                Ok(received) => received,
                Err(refusal) => {
                    self.refuse(&refusal, CloseReason::Refused, loop_context);
                    return (input.len(), Leftover::Backlog);
                }
            };
            consumed += received.consumed;
            match received.event {
                ReadEvent::NeedInput => {
                    let is_wanted = matches!(self.activity, Activity::Content { .. });
                    if is_wanted && self.http.wants_continue() {
                        self.http.write_continue(&mut self.output.buffer);
                    }
                    if self.http.phase() == ReadPhase::InHead && !(was_in_head && consumed == 0) {
                        self.since = loop_context.now;
                    }
                    return (consumed, Leftover::Partial);
                }
                ReadEvent::Head => self.on_head(loop_context),
                ReadEvent::Data(range) => self.on_data(&rest[range], loop_context),
                ReadEvent::End => {
                    budget.requests -= 1;
                    let behind = if consumed == input.len() { Behind::Nothing } else { Behind::More };
                    self.on_complete(behind, loop_context);
                }
            }
        }
    }

    /// A part of a request's content has come.
    fn on_data(&mut self, bytes: &[u8], loop_context: &LoopContext) {
        self.since = loop_context.now;
        self.throughput.add(bytes.len(), loop_context.now);
        match &mut self.activity {
            Activity::Content { request, plan: Plan::Handle(_) } => request.add_to_body(bytes),
            Activity::Handling { incoming: Some(pipe), .. } => pipe.push(bytes),
            // The answer was known before the content, and needs none of it.
            _ => {}
        }
    }
}
