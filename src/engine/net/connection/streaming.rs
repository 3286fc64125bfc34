//! A response whose content is sent bit by bit: out of its [`Stream`] into the output buffer, as the socket has room.
//!
//! ```text
//!   a sender has something -> on_fed -> drive: pull, flush, pull, flush ... until the stream is empty, or the socket is full
//!
//!                          the senders have finished, or the drain has waited a second for that
//!   Streaming -------------------------------------------------------------------------------> the next request
//!        |     the content was aborted, or is not as long as declared
//!        +-----------------------------------------------------------> cut
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Activity, Connection, Flow, Persistence, ReadSide, probe::Ahead};
use crate::{
    app::request::Exchange,
    body::stream::{Rest, Stream},
    engine::net::{deadlines::Kind, event_loop::LoopMessage, loop_context::LoopContext},
    http::Transfer,
    isolation::journal,
    stop::{Cause, CloseReason, OnStop, Phase},
};

/// The most bytes in one chunk. A socket usually takes as many at once.
pub(super) const PIECE: usize = 64 * 1024;
/// The time that senders have for their final flush when the drain begins: long enough for a last message, and as short as
/// the time for the rest of a head.
const FINAL_FLUSH: Duration = Duration::from_secs(1);

/// The stream that a connection sends.
pub(super) struct Streaming {
    pub(super) exchange: Arc<Exchange>,
    pub(super) stream: Stream,
    pub(super) transfer: Transfer,
    /// Whether there is a next request after the end of the stream.
    then: Persistence,
    /// Digits of the next chunk's size that were sent ahead: see [`Connection::probe`].
    pub(super) probes: usize,
    began: Instant,
}

/// What a pull has found.
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
        if !stream.attach(move || drop(mailbox.send(LoopMessage::Fed(token)))) {
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

    /// A sender has something, or has ended. (The sender may belong to an earlier response. Then there is nothing to do.)
    pub(crate) fn on_fed(&mut self, loop_context: &mut LoopContext) -> Flow {
        match self.activity {
            Activity::Streaming(_) => self.drive(loop_context),
            _ => Flow::Wait,
        }
    }

    /// The drain begins. The senders hear of it, and a lingering close may be over.
    pub(crate) fn on_drain(&mut self, loop_context: &mut LoopContext) -> Flow {
        match &self.activity {
            Activity::Streaming(streaming) => {
                loop_context.in_user_code(|_| streaming.stream.hint());
                Flow::Wait
            }
            _ => self.end_linger(loop_context),
        }
    }

    /// Moves the next piece of the content to the output buffer, or ends the response.
    pub(super) fn pull(&mut self, loop_context: &mut LoopContext) -> Pulled {
        let Activity::Streaming(streaming) = &mut self.activity else { return Pulled::Nothing };
        if streaming.final_flush(loop_context).is_some_and(|until| until <= loop_context.now) {
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
            // The connection stays in `Streaming` until everything is written. If the stream is cut before, `close` must
            // reset, or the client would take the part for the whole.
            Rest::End if transfer == Transfer::UntilClose && !self.output.is_empty() => Pulled::Bytes(bytes),
            Rest::End => {
                transfer.end(&mut self.output.buffer);
                self.end_stream(loop_context);
                Pulled::Bytes(bytes)
            }
            Rest::More | Rest::Nothing => Pulled::Bytes(bytes),
        }
    }

    /// The reason for the close when the content can never be whole. If the stop has cancelled the request, the stop is the
    /// reason, even if the senders ended by themselves just before.
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

    /// The grace period is over. A content that can end early ends. Otherwise the senders have their contexts cancelled.
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
    /// Whether the content can end before its senders end it. A content of declared length cannot. Nor can one that comes from
    /// a reader, because a reader is not told to come to an end.
    fn can_end_early(&self) -> bool {
        !self.stream.is_read() && !matches!(self.transfer, Transfer::Length(_))
    }

    /// The end of the senders' final flush, once the drain has begun. None for a content that has the whole grace period:
    /// its length is declared, or its route asks for that.
    fn final_flush(&self, loop_context: &LoopContext) -> Option<Instant> {
        let timeline = loop_context.drain.timeline().filter(|_| loop_context.phase() >= Phase::Draining)?;
        if !self.can_end_early() || self.exchange.on_stop == OnStop::Finish {
            return None;
        }
        let until = timeline.drain_began().max(self.began) + FINAL_FLUSH;
        Some(until.min(timeline.drain_until()))
    }

    /// The next deadline while there is nothing to write.
    pub(super) fn deadline(
        &self,
        read: &ReadSide,
        since: Instant,
        loop_context: &LoopContext,
    ) -> Option<(Kind, Instant)> {
        let final_flush = self.final_flush(loop_context).map(|until| (Kind::FinalFlush, until));
        let probe = match (read, self.transfer) {
            (ReadSide::HangingUp | ReadSide::Ended, Transfer::Chunked) => {
                Ahead::ChunkSize.due(self.probes, since, loop_context)
            }
            _ => None,
        };
        final_flush.into_iter().chain(probe).min_by_key(|(_, at)| *at)
    }
}
