//! The deadlines of a connection: computed from its state, and acted on when they are over.

use std::time::{Duration, Instant};

use super::{Activity, Connection, Flow, ReadSide, probe::Ahead};
use crate::{
    engine::net::{age::AgeLimit, deadlines::Kind, loop_context::LoopContext, output::Flushed},
    http::{ReadPhase, Refusal, StatusCode},
    stop::{CloseReason, Verdict},
};

/// How long the client of an old connection must have been silent before the loop closes the connection: a quarter of the idle
/// time-out. Less than a second would be too short for a lost packet, and more than 20 s would keep the connection no safer.
fn silence(idle: Duration) -> Duration {
    (idle / 4).clamp(Duration::from_secs(1), Duration::from_secs(20))
}

impl Connection {
    /// The deadline that the loop has set for the connection is over, unless it has moved meanwhile.
    pub(crate) fn on_deadline(&mut self, loop_context: &mut LoopContext) -> Flow {
        let Some((kind, at)) = self.deadline(loop_context) else { return Flow::Wait };
        if at > loop_context.now {
            return Flow::Wait;
        }
        if let Kind::Header | Kind::Body | Kind::Idle | Kind::Quiet | Kind::Age | Kind::Silence = kind {
            // The bytes it waits for may have come since the kernel woke the loop, or while another connection held the loop.
            let flow = self.look_again(loop_context);
            if flow != Flow::Wait || self.deadline(loop_context) != Some((kind, at)) {
                return flow;
            }
        }
        match kind {
            Kind::Header if self.http.phase() == ReadPhase::Idle => Flow::Close(CloseReason::IdleTimeout),
            Kind::Header | Kind::Body => {
                let refusal = Refusal::new(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time");
                self.refuse(&refusal, CloseReason::RequestTimeout, loop_context);
                self.drive(loop_context)
            }
            Kind::Idle => Flow::Close(CloseReason::IdleTimeout),
            Kind::Age | Kind::Silence => Flow::Close(CloseReason::MaxAge),
            Kind::Quiet => self.end_quiet(loop_context),
            Kind::Route => self.time_out(loop_context),
            Kind::Write => self.end_write(loop_context),
            Kind::Linger => match self.activity {
                Activity::Lingering { reason, .. } => Flow::Close(reason),
                _ => Flow::Wait,
            },
            Kind::Probe => self.probe(loop_context),
            Kind::FinalFlush => self.drive(loop_context),
        }
    }

    /// The client seems to take nothing. The kernel reports room only when there is plenty, and a slow client takes bytes
    /// all the same. So the loop writes once more before it closes the connection.
    fn end_write(&mut self, loop_context: &mut LoopContext) -> Flow {
        match self.flush(loop_context) {
            Ok(Flushed::Blocked { .. })
                if self.peer_deadline(loop_context).is_none_or(|(_, at)| at <= loop_context.now) =>
            {
                Flow::Close(CloseReason::WriteTimeout)
            }
            Ok(_) => self.drive(loop_context),
            Err(_) => self.client_gone(),
        }
    }

    /// The next deadline, and what the connection waits for until then.
    pub(crate) fn deadline(&self, loop_context: &LoopContext) -> Option<(Kind, Instant)> {
        let handler = match &self.activity {
            Activity::Handling { due: Some((at, _)), .. } => Some((Kind::Route, *at)),
            _ => None,
        };
        // The handler's limit comes first of two at the same time, so that it holds whatever the client does.
        handler.into_iter().chain(self.peer_deadline(loop_context)).min_by_key(|(_, at)| *at)
    }

    /// The deadline for the client alone, without that of the handler.
    fn peer_deadline(&self, loop_context: &LoopContext) -> Option<(Kind, Instant)> {
        let timeouts = &loop_context.config.timeouts;
        let (kind, wait) = match &self.activity {
            Activity::Lingering { .. } => (Kind::Linger, timeouts.linger),
            _ if !self.output.is_empty() => {
                return Some((Kind::Write, self.throughput.due(timeouts.write, timeouts.write_rate)?));
            }
            Activity::Content { .. } => return Some((Kind::Body, self.content_due(loop_context)?)),
            // While a handler does not read, the client cannot send: it has no deadline.
            Activity::Handling { incoming: Some(pipe), .. } if pipe.is_paused() => return None,
            Activity::Handling { incoming: Some(_), .. } => {
                return Some((Kind::Body, self.content_due(loop_context)?));
            }
            Activity::Handling { probes, .. } => match self.read {
                ReadSide::HangingUp | ReadSide::Ended => {
                    return Ahead::Head.due(*probes, self.since, loop_context);
                }
                ReadSide::Waiting | ReadSide::Ready | ReadSide::Urgent => return None,
            },
            Activity::Upgrading { .. } => return None,
            Activity::Streaming(streaming) => {
                return streaming.deadline(&self.read, self.since, loop_context);
            }
            Activity::Receiving => match loop_context.drain.verdict(self.standing()) {
                Verdict::CloseAt(at) => return Some((Kind::Quiet, at)),
                Verdict::RefuseAt(at) => {
                    let own = self.since.checked_add(timeouts.header);
                    return Some((Kind::Header, own.map_or(at, |own| own.min(at))));
                }
                Verdict::Keep if self.http.phase() == ReadPhase::Idle && self.answered > 0 => {
                    return self.idle_deadline(loop_context);
                }
                Verdict::Keep => (Kind::Header, timeouts.header),
            },
        };
        Some((kind, self.since.checked_add(wait)?))
    }

    /// Whether the connection is so old that a response without a further request behind it is its last one.
    pub(super) fn has_aged(&self, loop_context: &LoopContext) -> bool {
        let has_come = |limit: &AgeLimit| limit.has_come(self.birth, self.token, loop_context.now);
        loop_context.age_limit.as_ref().is_some_and(has_come)
    }

    /// The deadline of a client that owes its next request: the idle time-out, or an earlier one if the connection is old
    /// by then.
    ///
    /// A connection that closes while its client is sending loses that request. So an old connection closes early only if
    /// there is good reason to believe that its client is not about to send: the client has been silent for [`silence`],
    /// which is at least twice as long as its recent pauses. Every other client gets its next response, or has the whole
    /// idle time-out.
    fn idle_deadline(&self, loop_context: &LoopContext) -> Option<(Kind, Instant)> {
        let idle = loop_context.config.timeouts.idle;
        let by_idle = self.since.checked_add(idle).map(|at| (Kind::Idle, at));
        let Some(limit) = &loop_context.age_limit else { return by_idle };
        let silence = silence(idle);
        if self.rhythm.quiet(Duration::MAX) > silence {
            return by_idle;
        }
        let (aged_at, silent_at) = (limit.latest(self.birth, loop_context.now), self.since + silence);
        // Two kinds, because the ages of connections end in another order than their silences.
        let by_age = if aged_at > silent_at { (Kind::Age, aged_at) } else { (Kind::Silence, silent_at) };
        by_idle.into_iter().chain([by_age]).min_by_key(|(_, at)| *at)
    }

    fn content_due(&self, loop_context: &LoopContext) -> Option<Instant> {
        let timeouts = &loop_context.config.timeouts;
        self.throughput.due(timeouts.body, timeouts.body_rate)
    }
}
