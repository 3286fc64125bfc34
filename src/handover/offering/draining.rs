//! The old process, once it has said `yours`: it waits until the new one is in charge, and tells it how the drain goes.

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::Session;
use crate::{
    handover::{
        HandoverError, HandoverErrorKind,
        channel::{Bell, Received, readable},
        protocol::{FromNew, FromOld, OldAction, OldInput, OldState},
        waits_for,
    },
    isolation::journal,
    server::ServerHandle,
};

/// How long the answer to `yours` is waited for at least. The new process writes its pid file in that time. A busy machine may
/// need longer: the wait goes on until the deadline of the handover, or until the drain is over.
const CHARGED: Duration = Duration::from_secs(1);
/// How often the new process is told what the drain waits for, if that has changed.
const PROGRESS: Duration = Duration::from_secs(1);

impl Session {
    /// Waits until the new process is in charge, so that a caller that is told of the outcome finds the new process at the
    /// control socket.
    pub(super) fn wait_charged(&mut self) -> Result<(), HandoverError> {
        let (mut over, at_least) = (self.of.handover.over(), Instant::now() + CHARGED);
        while self.state == OldState::HandedOver {
            let input = match self.channel.next_line() {
                Some(Received::Line(line)) => {
                    FromNew::parse(&line).map_or_else(OldInput::Garbage, OldInput::Said)
                }
                Some(Received::Garbage(garbage)) => OldInput::Garbage(garbage),
                _ => {
                    // The drain may be over before new is in charge.
                    let until = if over.is_some() { at_least.max(self.until) } else { at_least };
                    let channel = self.channel.as_fd();
                    let bell = over.as_ref().map_or(channel, |over| over.as_fd());
                    match readable([channel, bell], Some(until)) {
                        Ok([true, _]) if self.channel.fill().is_ok_and(|count| count > 0) => continue,
                        Ok([false, true]) => {
                            over = None;
                            continue;
                        }
                        Ok([false, false]) => return Err(self.not_charged()),
                        Ok([true, _]) | Err(_) => OldInput::Eof,
                    }
                }
            };
            self.charge(input)?;
        }
        Ok(())
    }

    fn charge(&mut self, input: OldInput) -> Result<(), HandoverError> {
        if self.state.step(input) != OldAction::ReportEnd {
            return Ok(());
        }
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        let status = status.map_or_else(String::new, |status| format!(" ({status})"));
        let text = format!(
            "the new process (pid {}) has closed the connection in place of taking charge{status}, and this one drains: look \
             whether that process serves",
            self.pid
        );
        Err(HandoverError::new(HandoverErrorKind::Lost, text))
    }

    fn not_charged(&self) -> HandoverError {
        let text = format!(
            "the new process (pid {}) has said that it is ready, and hangs since then; this one drains: look at that process",
            self.pid
        );
        HandoverError::new(HandoverErrorKind::TimedOut, text)
    }

    /// Old drains. New is told of that until old ends.
    pub(super) fn accompany(mut self) {
        let handover = Arc::clone(&self.of.handover);
        let Some(over) = handover.over() else { return };
        let Some(left) = all_left(&handover.servers()) else { return };
        let (mut has_said_closed, mut said) = (false, String::new());
        loop {
            let text = waits_for(&self.of);
            if text != said {
                _ = self.channel.say(&FromOld::Draining { text: text.clone() }.to_line());
                said = text;
            }
            // While a drain lasts, this thread looks once a second. Without a handover there is no such thread.
            let until = Some(Instant::now() + PROGRESS);
            let (channel, over) = (self.channel.as_fd(), over.as_fd());
            let ready = match has_said_closed {
                true => readable([channel, over], until).map(|[channel, over]| [channel, over, false]),
                false => readable([channel, over, left.as_fd()], until),
            };
            let Ok([has_said_something, is_over, has_left]) = ready else { return };
            if has_left || (is_over && !has_said_closed) {
                has_said_closed = true;
                _ = self.channel.say(&FromOld::Closed.to_line());
            }
            if is_over {
                return;
            }
            if has_said_something && !self.is_late_charge() {
                if self.has_stopped() {
                    journal::info!(
                        "the new process (pid {}) was asked to stop, while this one drains",
                        self.pid
                    );
                    return;
                }
                let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
                let status = status.map_or_else(String::new, |status| format!(" ({status})"));
                let pid = self.pid;
                journal::error!("the new process (pid {pid}) has ended{status}, while this one drains");
                return;
            }
        }
    }

    /// Whether the new process has said that it has stopped in order.
    fn has_stopped(&mut self) -> bool {
        let input = match self.channel.line_until(Some(Instant::now())) {
            Ok(Received::Line(line)) => FromNew::parse(&line).map_or_else(OldInput::Garbage, OldInput::Said),
            _ => OldInput::Eof,
        };
        self.state.step(input) == OldAction::NoteStop
    }

    /// Whether a new process that was slow has answered `yours` now.
    fn is_late_charge(&mut self) -> bool {
        let was_charged = self.state == OldState::Charged;
        !was_charged && self.wait_charged().is_ok()
    }
}

/// A bell that rings when none of these servers listens any more.
fn all_left(servers: &[ServerHandle]) -> Option<Arc<Bell>> {
    let bell = Bell::new().ok().map(Arc::new)?;
    let left = Arc::new(AtomicUsize::new(servers.len()));
    for server in servers {
        let (bell, left) = (Arc::clone(&bell), Arc::clone(&left));
        server.when_not_listening(Box::new(move || {
            if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                bell.ring();
            }
        }));
    }
    Some(bell)
}
