//! The bytes of a connection: out of the socket into the HTTP core, and out of the output buffer into the socket.

use std::{
    io::{self, Read},
    net::Shutdown,
};

use super::{Activity, Connection, Flow, Input, Persistence, Plan, ReadSide, StopWaits, streaming::Pulled};
use crate::{
    engine::net::{
        loop_context::LoopContext,
        output::Flushed,
        pace::Pace,
        socket_writer::{Next, SocketWriter},
    },
    http::{ReadEvent, ReadPhase, Refusal, StatusCode},
    observe,
    stop::CloseReason,
};

/// Requests answered in one go before the loop's other connections have their turn.
const REQUESTS_A_TURN: usize = 128;
/// Bytes read in one go, for the same reason.
pub(super) const BYTES_A_TURN: usize = 256 * 1024;
/// Bytes read at a time to complete a message that has begun.
const PIECE: usize = 4 * 1024;

impl Connection {
    /// Goes on until the connection has to wait for something.
    pub(crate) fn drive(&mut self, loop_context: &mut LoopContext) -> Flow {
        self.borrow_buffer(loop_context);
        let flow = self.drive_with_buffer(loop_context);
        if self.output.is_empty() {
            // What has two takes the larger one: a connection that waits keeps none.
            let buffer = std::mem::take(&mut self.output.buffer);
            if buffer.capacity() > loop_context.output.capacity() {
                loop_context.output = buffer;
            }
        }
        flow
    }

    /// Takes the loop's buffer to encode responses to, unless there is one already.
    pub(super) fn borrow_buffer(&mut self, loop_context: &mut LoopContext) {
        if self.output.buffer.capacity() == 0 {
            std::mem::swap(&mut self.output.buffer, &mut loop_context.output);
        }
    }

    fn drive_with_buffer(&mut self, loop_context: &mut LoopContext) -> Flow {
        let mut requests = REQUESTS_A_TURN;
        let mut bytes = BYTES_A_TURN;
        loop {
            match self.flush(loop_context) {
                Ok(Flushed::All) => {}
                Ok(Flushed::Blocked { .. }) => return Flow::Wait,
                Err(_) => return self.client_gone(),
            }
            if let Activity::Streaming(_) = self.activity {
                match self.pull(loop_context) {
                    Pulled::Bytes(count) => bytes = bytes.saturating_sub(count),
                    Pulled::Nothing => return Flow::Wait,
                    Pulled::Cut => return Flow::Close(self.reason_to_cut(loop_context)),
                }
                if bytes == 0 {
                    return Flow::Again;
                }
                continue;
            }
            if let Activity::Upgrading { .. } = self.activity {
                return Flow::HandOver;
            }
            match (&self.activity, &self.persistence) {
                (Activity::Handling { incoming: Some(pipe), .. }, _) if !pipe.is_paused() => {}
                (Activity::Handling { .. } | Activity::Streaming(_) | Activity::Upgrading { .. }, _) => {
                    return Flow::Wait;
                }
                (Activity::Lingering { reason, .. }, _) => {
                    let reason = *reason;
                    return self.discard(reason, loop_context);
                }
                (_, Persistence::CloseWhenSent(reason)) => {
                    let reason = *reason;
                    if matches!(self.read, ReadSide::Ended) || self.may_close_outright(loop_context) {
                        return Flow::Close(reason);
                    }
                    if self.stream.shutdown(Shutdown::Write).is_err() {
                        return Flow::Close(reason);
                    }
                    let input = std::mem::replace(&mut self.input, Input::Empty);
                    let nothing_came_behind = self.http.is_answered_whole() && matches!(input, Input::Empty);
                    let stop_waits =
                        if nothing_came_behind { StopWaits::ForAcknowledgement } else { StopWaits::ForPeer };
                    self.activity = Activity::Lingering { reason, stop_waits };
                    self.since = loop_context.now;
                    continue;
                }
                (_, Persistence::KeepAlive) => {}
            }
            if requests == 0 || bytes == 0 {
                return Flow::Again;
            }
            if let Input::Backlog(backlog) = &mut self.input {
                let backlog = std::mem::take(backlog);
                self.process_owned(backlog, &mut requests, loop_context);
                continue;
            }
            match self.receive(&mut requests, loop_context) {
                Ok(0) if self.http.phase() == ReadPhase::Idle => return Flow::Close(CloseReason::PeerClosed),
                Ok(0) => {
                    let refusal =
                        Refusal::new(StatusCode::BAD_REQUEST, "the request ended before it was complete");
                    self.refuse(&refusal, CloseReason::ClientGone, loop_context);
                }
                Ok(count) => bytes = bytes.saturating_sub(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Flow::Wait,
                Err(_) if self.http.phase() == ReadPhase::Idle => {
                    return Flow::Close(CloseReason::PeerClosed);
                }
                Err(_) => return Flow::Close(CloseReason::ClientGone),
            }
        }
    }

    pub(super) fn flush(&mut self, loop_context: &mut LoopContext) -> io::Result<Flushed> {
        // A response may have left before its end was known.
        if self.output.is_empty() && self.owed == 0 {
            return Ok(Flushed::All);
        }
        // What the kernel takes at once says nothing about the client.
        let was_blocked = self.output.is_blocked();
        let next = match self.persistence {
            Persistence::KeepAlive => Next::Open,
            Persistence::CloseWhenSent(_) => Next::Fin,
        };
        let flushed = self.output.flush(SocketWriter { socket: &self.stream, next })?;
        match flushed {
            Flushed::All => {
                loop_context.tally.completed.add(self.owed);
                if self.owed > 0 || matches!(self.persistence, Persistence::CloseWhenSent(_)) {
                    let (connection, through) = (self.id(loop_context), self.answered.saturating_sub(1));
                    loop_context.observe(&observe::Event::ResponsesWritten { connection, through });
                }
                self.owed = 0;
                self.since = loop_context.now;
            }
            Flushed::Blocked { .. } if !was_blocked => self.pace = Pace::new(loop_context.now),
            Flushed::Blocked { bytes: 0 } => {}
            Flushed::Blocked { bytes } => self.pace.add(bytes, loop_context.now),
        }
        Ok(flushed)
    }

    /// Reads once, and deals with what came. `Ok(0)` is the end of the stream.
    fn receive(&mut self, requests: &mut usize, loop_context: &mut LoopContext) -> io::Result<usize> {
        match std::mem::replace(&mut self.input, Input::Empty) {
            Input::Empty => {
                let mut scratch = std::mem::take(&mut loop_context.scratch);
                let result = self.read(&mut scratch);
                if let Ok(count @ 1..) = result {
                    self.note_pause(loop_context);
                    let (consumed, wants_more) = self.process(&scratch[..count], requests, loop_context);
                    self.keep(scratch[consumed..count].to_vec(), wants_more);
                }
                loop_context.scratch = scratch;
                result
            }
            // What is there already stays where it is: a peer that sends byte by byte must not have it copied each time.
            Input::Partial(mut input) | Input::Backlog(mut input) => {
                let carried = input.len();
                input.resize(carried + PIECE, 0);
                let result = self.read(&mut input[carried..]);
                input.truncate(carried + *result.as_ref().unwrap_or(&0));
                match result {
                    Ok(1..) => self.process_owned(input, requests, loop_context),
                    _ => self.input = Input::Partial(input),
                }
                result
            }
        }
    }

    /// Notes how long the client has paused, if the bytes that have just come begin a further request. What came in the
    /// turn in which the response was written had been sent before the response arrived: this was no pause.
    fn note_pause(&mut self, loop_context: &LoopContext) {
        if self.answered > 0 && self.since < loop_context.now && self.http.phase() == ReadPhase::Idle {
            self.rhythm.note(loop_context.now - self.since);
        }
    }

    /// One read, and what it says about the next one.
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

    fn process_owned(&mut self, mut input: Vec<u8>, requests: &mut usize, loop_context: &mut LoopContext) {
        let (consumed, wants_more) = self.process(&input, requests, loop_context);
        input.drain(..consumed);
        self.keep(input, wants_more);
    }

    /// Keeps what was not consumed. If the connection is about to close, nothing reads it any more, but that it came matters to
    /// the lingering close.
    fn keep(&mut self, rest: Vec<u8>, wants_more: bool) {
        self.input = match self.persistence {
            _ if rest.is_empty() => Input::Empty,
            Persistence::CloseWhenSent(_) => Input::Partial(rest),
            Persistence::KeepAlive if wants_more => Input::Partial(rest),
            Persistence::KeepAlive => Input::Backlog(rest),
        };
    }

    /// Whether there is nothing to linger for: the client has said that nothing follows, and nothing has come. To close over
    /// as much as a stray empty line would be a reset, and take the response from the client's hands; hence the look. During a
    /// stop the process may end next, and its host with it: then the client's kernel has to confirm that the response has
    /// arrived.
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

    fn takes_input(&self) -> bool {
        match &self.activity {
            Activity::Receiving | Activity::Content { .. } => true,
            Activity::Handling { incoming, .. } => incoming.as_ref().is_some_and(|pipe| !pipe.is_paused()),
            Activity::Streaming(_) | Activity::Upgrading { .. } | Activity::Lingering { .. } => false,
        }
    }

    /// Takes requests out of `input` for as long as they can be dealt with: how many bytes were consumed, and whether
    /// it takes more input to go on.
    fn process(
        &mut self,
        input: &[u8],
        requests: &mut usize,
        loop_context: &mut LoopContext,
    ) -> (usize, bool) {
        let limits = loop_context.config.limits.clone();
        let was_in_head = self.http.phase() == ReadPhase::InHead;
        let mut consumed = 0;
        loop {
            let can_go_on = self.takes_input()
                && matches!(self.persistence, Persistence::KeepAlive)
                && !self.output.is_full()
                && *requests > 0;
            if !can_go_on {
                return (consumed, false);
            }
            let rest = &input[consumed..];
            let received = match self.http.receive(rest, loop_context.next_head(), &limits) {
                Ok(received) => received,
                Err(refusal) => {
                    self.refuse(&refusal, CloseReason::Refused, loop_context);
                    return (input.len(), false);
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
                    return (consumed, true);
                }
                ReadEvent::Head => self.on_head(loop_context),
                ReadEvent::Data(range) => {
                    self.since = loop_context.now;
                    self.pace.add(range.len(), loop_context.now);
                    match &mut self.activity {
                        Activity::Content { request, plan: Plan::Handle(_) } => {
                            request.add_to_body(&rest[range]);
                        }
                        Activity::Handling { incoming: Some(pipe), .. } => pipe.push(&rest[range]),
                        // An answer that is known before the content needs none of it.
                        _ => {}
                    }
                }
                ReadEvent::End => {
                    *requests -= 1;
                    self.on_complete(consumed == input.len(), loop_context);
                }
            }
        }
    }
}
