//! The bytes of a connection: out of the socket into the HTTP core, and out of the output buffer into the socket.

use std::{
    io::{self, Read},
    net::Shutdown,
};

use super::{Activity, Connection, Flow, Input, Persistence, Plan, ReadSide, StopWaits, streaming::Pulled};
use crate::{
    engine::net::{
        output::Flushed,
        pace::Pace,
        service::Service,
        socket_writer::{Next, SocketWriter},
    },
    http::{Event, ReadPhase, Refusal, StatusCode},
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
    pub(crate) fn drive(&mut self, service: &mut Service) -> Flow {
        self.borrow_buffer(service);
        let flow = self.drive_with_buffer(service);
        if self.output.is_empty() {
            // What has two takes the larger one: a connection that waits keeps none.
            let buffer = std::mem::take(&mut self.output.buffer);
            if buffer.capacity() > service.output.capacity() {
                service.output = buffer;
            }
        }
        flow
    }

    /// Takes the loop's buffer to encode responses to, unless there is one already.
    pub(super) fn borrow_buffer(&mut self, service: &mut Service) {
        if self.output.buffer.capacity() == 0 {
            std::mem::swap(&mut self.output.buffer, &mut service.output);
        }
    }

    fn drive_with_buffer(&mut self, service: &mut Service) -> Flow {
        let mut requests = REQUESTS_A_TURN;
        let mut bytes = BYTES_A_TURN;
        loop {
            match self.flush(service) {
                Ok(Flushed::All) => {}
                Ok(Flushed::Blocked { .. }) => return Flow::Wait,
                Err(_) => return self.client_gone(),
            }
            if let Activity::Streaming(_) = self.activity {
                match self.pull(service) {
                    Pulled::Bytes(count) => bytes = bytes.saturating_sub(count),
                    Pulled::Nothing => return Flow::Wait,
                    Pulled::Cut => return Flow::Close(self.reason_to_cut(service)),
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
                    return self.discard(reason, service);
                }
                (_, Persistence::CloseWhenSent(reason)) => {
                    let reason = *reason;
                    if matches!(self.read, ReadSide::Ended) || self.may_close_outright(service) {
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
                    self.since = service.now;
                    continue;
                }
                (_, Persistence::KeepAlive) => {}
            }
            if requests == 0 || bytes == 0 {
                return Flow::Again;
            }
            if let Input::Backlog(backlog) = &mut self.input {
                let backlog = std::mem::take(backlog);
                self.process_owned(backlog, &mut requests, service);
                continue;
            }
            match self.receive(&mut requests, service) {
                Ok(0) if self.http.phase() == ReadPhase::Idle => return Flow::Close(CloseReason::PeerClosed),
                Ok(0) => {
                    let refusal =
                        Refusal::new(StatusCode::BAD_REQUEST, "the request ended before it was complete");
                    self.refuse(&refusal, CloseReason::ClientGone, service);
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

    pub(super) fn flush(&mut self, service: &mut Service) -> io::Result<Flushed> {
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
                service.tally.completed.add(self.owed);
                if self.owed > 0 || matches!(self.persistence, Persistence::CloseWhenSent(_)) {
                    let (connection, through) = (self.id(service), self.answered.saturating_sub(1));
                    service.observe(&observe::Event::ResponsesWritten { connection, through });
                }
                self.owed = 0;
                self.since = service.now;
            }
            Flushed::Blocked { .. } if !was_blocked => self.pace = Pace::new(service.now),
            Flushed::Blocked { bytes: 0 } => {}
            Flushed::Blocked { bytes } => self.pace.add(bytes, service.now),
        }
        Ok(flushed)
    }

    /// Reads once, and deals with what came. `Ok(0)` is the end of the stream.
    fn receive(&mut self, requests: &mut usize, service: &mut Service) -> io::Result<usize> {
        match std::mem::replace(&mut self.input, Input::Empty) {
            Input::Empty => {
                let mut scratch = std::mem::take(&mut service.scratch);
                let result = self.read(&mut scratch);
                if let Ok(count @ 1..) = result {
                    self.note_pause(service);
                    let (consumed, wants_more) = self.process(&scratch[..count], requests, service);
                    self.keep(scratch[consumed..count].to_vec(), wants_more);
                }
                service.scratch = scratch;
                result
            }
            // What is there already stays where it is: a peer that sends byte by byte must not have it copied each time.
            Input::Partial(mut input) | Input::Backlog(mut input) => {
                let carried = input.len();
                input.resize(carried + PIECE, 0);
                let result = self.read(&mut input[carried..]);
                input.truncate(carried + *result.as_ref().unwrap_or(&0));
                match result {
                    Ok(1..) => self.process_owned(input, requests, service),
                    _ => self.input = Input::Partial(input),
                }
                result
            }
        }
    }

    /// Notes how long the client has paused, if the bytes that have just come begin a further request. What came in the
    /// turn in which the response was written had been sent before the response arrived: this was no pause.
    fn note_pause(&mut self, service: &Service) {
        if self.answered > 0 && self.since < service.now && self.http.phase() == ReadPhase::Idle {
            self.rhythm.note(service.now - self.since);
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

    fn process_owned(&mut self, mut input: Vec<u8>, requests: &mut usize, service: &mut Service) {
        let (consumed, wants_more) = self.process(&input, requests, service);
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
    fn may_close_outright(&mut self, service: &mut Service) -> bool {
        if !self.http.nothing_follows() || service.run.is_stopping() {
            return false;
        }
        if let ReadSide::Waiting = self.read {
            self.read = ReadSide::Ready;
        }
        let mut scratch = std::mem::take(&mut service.scratch);
        let looked = self.read(&mut scratch);
        service.scratch = scratch;
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
    fn process(&mut self, input: &[u8], requests: &mut usize, service: &mut Service) -> (usize, bool) {
        let limits = service.config.limits.clone();
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
            let received = match self.http.receive(rest, service.next_head(), &limits) {
                Ok(received) => received,
                Err(refusal) => {
                    self.refuse(&refusal, CloseReason::Refused, service);
                    return (input.len(), false);
                }
            };
            consumed += received.consumed;
            match received.event {
                Event::NeedInput => {
                    let is_wanted = matches!(self.activity, Activity::Content { .. });
                    if is_wanted && self.http.wants_continue() {
                        self.http.write_continue(&mut self.output.buffer);
                    }
                    if self.http.phase() == ReadPhase::InHead && !(was_in_head && consumed == 0) {
                        self.since = service.now;
                    }
                    return (consumed, true);
                }
                Event::Head => self.on_head(service),
                Event::Data(range) => {
                    self.since = service.now;
                    self.pace.add(range.len(), service.now);
                    match &mut self.activity {
                        Activity::Content { request, plan: Plan::Handle(_) } => {
                            request.add_to_body(&rest[range]);
                        }
                        Activity::Handling { incoming: Some(pipe), .. } => pipe.push(&rest[range]),
                        // An answer that is known before the content needs none of it.
                        _ => {}
                    }
                }
                Event::End => {
                    *requests -= 1;
                    self.on_complete(consumed == input.len(), service);
                }
            }
        }
    }
}
