//! A response whose content is sent bit by bit: out of its [`Stream`] into the output buffer, as the socket has room.
//!
//! ```text
//!   a sender has something -> on_fed -> drive: flush, pull, flush ... until nothing is there, or the socket is full
//!
//!                          its senders have finished, or the drain has waited a second for that
//!   Streaming -------------------------------------------------------------------------------> the next request
//!        |     it was aborted, or is not as long as declared
//!        +---------------------------------------------------> cut
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Activity, Connection, Flow, PREFIX, Persistence, ReadSide};
use crate::{
    app::request::Exchange,
    body::stream::{Rest, Stream},
    engine::net::{deadlines::Kind, loop_context::LoopContext},
    http::Transfer,
    isolation::journal,
    stop::{Cause, CloseReason, OnStop, Phase},
};

/// The most that is made one chunk: what a socket usually takes at once.
const PIECE: usize = 64 * 1024;
/// How long senders may take to come to an end when the drain begins: long enough for a last message, as short as for
/// the rest of a head.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a connection knows of the stream that it sends.
pub(super) struct Streaming {
    pub(super) exchange: Arc<Exchange>,
    pub(super) stream: Stream,
    pub(super) transfer: Transfer,
    /// What becomes of the connection afterwards.
    then: Persistence,
    /// Digits of the next chunk's size that were sent ahead: see [`Connection::probe`].
    pub(super) probes: usize,
    began: Instant,
}

/// What was there to send.
pub(super) enum Pulled {
    Bytes(usize),
    Nothing,
    /// The content is not whole, and never will be.
    Cut,
}

impl Connection {
    /// Begins to send the content of the response whose head was just encoded.
    pub(super) fn begin_stream(
        &mut self,
        mut stream: Stream,
        transfer: Transfer,
        then: Persistence,
        exchange: &Arc<Exchange>,
        loop_context: &LoopContext,
    ) {
        let (mailbox, token) = (loop_context.mailbox.clone(), self.token);
        if !stream.attach(move || mailbox.note(token)) {
            journal::error!(
                "the content of {exchange} is being sent already: make a stream for each response"
            );
            stream = Stream::cut();
        }
        if loop_context.phase() >= Phase::Draining {
            stream.hint();
        }
        let (exchange, began) = (Arc::clone(exchange), loop_context.now);
        self.activity =
            Activity::Streaming(Box::new(Streaming { exchange, stream, transfer, then, probes: 0, began }));
        self.since = loop_context.now;
    }

    /// A sender has something, or has ended. (It may have been one of an earlier response, and this a false alarm.)
    pub(crate) fn on_fed(&mut self, loop_context: &mut LoopContext) -> Flow {
        match self.activity {
            Activity::Streaming(_) => self.drive(loop_context),
            _ => Flow::Wait,
        }
    }

    /// The drain begins: the senders are told, and a lingering close may be over.
    pub(crate) fn on_drain(&mut self, loop_context: &mut LoopContext) -> Flow {
        match &self.activity {
            Activity::Streaming(streaming) => {
                loop_context.in_user_code(|_| streaming.stream.hint());
                Flow::Wait
            }
            _ => self.end_linger(loop_context),
        }
    }

    /// Moves what is there to the output buffer, or ends the response.
    pub(super) fn pull(&mut self, loop_context: &mut LoopContext) -> Pulled {
        let Activity::Streaming(streaming) = &mut self.activity else { return Pulled::Nothing };
        if streaming.last_words(loop_context).is_some_and(|until| until <= loop_context.now) {
            loop_context.in_user_code(|_| streaming.stream.close(Cause::Stopping));
        }
        let transfer = streaming.transfer;
        let frame = |length: Option<usize>, out: &mut Vec<u8>| match length {
            Some(length) => transfer.begin_piece(length, out),
            None => transfer.end_piece(out),
        };
        let (bytes, rest) = streaming.stream.take(PIECE, &mut self.output.buffer, frame);
        if bytes > 0 {
            streaming.probes = 0;
        }
        loop_context.have_read(&streaming.stream, &streaming.exchange);
        match rest {
            Rest::Cut => Pulled::Cut,
            Rest::Nothing if bytes == 0 => Pulled::Nothing,
            // Until the last byte is written, to be cut means to be reset.
            Rest::End if transfer == Transfer::UntilClose && !self.output.is_empty() => Pulled::Bytes(bytes),
            Rest::End => {
                transfer.end(&mut self.output.buffer);
                self.end_stream(loop_context);
                Pulled::Bytes(bytes)
            }
            Rest::More | Rest::Nothing => Pulled::Bytes(bytes),
        }
    }

    /// The reason to close it for when its content can never be whole: whether or not its senders were quick to obey, it was
    /// the stop that cut them off.
    pub(super) fn reason_to_cut(&self, loop_context: &LoopContext) -> CloseReason {
        match &self.activity {
            Activity::Streaming(streaming) if loop_context.drain.cancels(streaming.exchange.on_stop) => {
                CloseReason::Aborted
            }
            _ => CloseReason::BodyFailed,
        }
    }

    fn end_stream(&mut self, loop_context: &mut LoopContext) {
        let activity = std::mem::replace(&mut self.activity, Activity::Receiving);
        if let Activity::Streaming(streaming) = activity {
            let Streaming { stream, then, .. } = *streaming;
            loop_context.in_user_code(|_| stream.cancel(Cause::from("the body is complete")));
            self.answered(then, loop_context);
        }
    }

    /// The grace period is over: what can be ended is ended; for the rest the senders hear of it.
    pub(super) fn cancel_stream(&mut self, loop_context: &mut LoopContext) -> Flow {
        if let Activity::Streaming(streaming) = &self.activity {
            loop_context.in_user_code(|_| {
                if streaming.can_end_early() {
                    streaming.stream.close(Cause::Stopping);
                } else {
                    streaming.stream.cancel(Cause::Stopping);
                }
            });
        }
        self.drive(loop_context)
    }
}

impl Streaming {
    /// Whether what has been sent by then can be ended as if it were all: not if there is a length that says otherwise, nor
    /// if it comes from a reader, which does not hear that it should come to an end.
    fn can_end_early(&self) -> bool {
        !self.stream.is_read() && !matches!(self.transfer, Transfer::Length(_))
    }

    /// Until when the senders may go on, once the drain has begun. One whose length is declared
    /// has the grace period, and so has one whose route wants it so.
    fn last_words(&self, loop_context: &LoopContext) -> Option<Instant> {
        let timeline = loop_context.drain.timeline().filter(|_| loop_context.phase() >= Phase::Draining)?;
        if !self.can_end_early() || self.exchange.on_stop == OnStop::Finish {
            return None;
        }
        let until = timeline.drain_began().max(self.began) + LAST_WORDS;
        Some(until.min(timeline.drain_until()))
    }

    /// What it waits for while there is nothing to write.
    pub(super) fn deadline(
        &self,
        read: &ReadSide,
        since: Instant,
        loop_context: &LoopContext,
    ) -> Option<(Kind, Instant)> {
        let last_words = self.last_words(loop_context).map(|until| (Kind::LastWords, until));
        let probe = match (read, self.transfer) {
            (ReadSide::HangingUp | ReadSide::Ended, Transfer::Chunked) if self.probes < PREFIX.len() => {
                let first = loop_context.config.timeouts.half_close_probe;
                since.checked_add(first.saturating_mul(1 << self.probes)).map(|at| (Kind::Probe, at))
            }
            _ => None,
        };
        last_words.into_iter().chain(probe).min_by_key(|(_, at)| *at)
    }
}
