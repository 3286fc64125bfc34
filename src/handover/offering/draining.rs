//! The old process, once it has said `yours`: it waits until the new one is in charge, and tells it how the drain goes.

use std::{
    os::fd::AsFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

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
/// How long after the end of its connection the end of a process can be seen. The kernel needs microseconds.
const END_SEEN: Duration = Duration::from_millis(200);
/// How often the new process is told what the drain waits for, if that has changed.
const PROGRESS: Duration = Duration::from_secs(1);

impl Session {
    /// Waits until the new process is in charge, so that a caller that is told of the outcome finds the new process at the
    /// control socket.
    pub(super) fn wait_charged(&mut self) -> Result<(), HandoverError> {
        let (mut over, at_least) = (self.of.handover.over(), Instant::now() + CHARGED);
        _ = self.take_lines();
        while self.state == OldState::HandedOver {
            // The drain may be over before new is in charge.
            let until = if over.is_some() { at_least.max(self.until) } else { at_least };
            let channel = self.channel.as_fd();
            let bell = over.as_ref().map_or(channel, |over| over.as_fd());
            match readable([channel, bell], Some(until)) {
                Ok([true, _]) => _ = self.hear(),
                Ok([false, true]) => over = None,
                Ok([false, false]) => return Err(self.not_charged()),
                Err(_) => _ = self.state.step(OldInput::Eof),
            }
        }
        match self.state == OldState::Charged {
            true => Ok(()),
            false => Err(self.not_in_charge()),
        }
    }

    /// Takes what new has said, or its end.
    fn hear(&mut self) -> OldAction {
        match self.channel.fill() {
            Ok(count) if count > 0 => self.take_lines(),
            Ok(_) | Err(_) => self.state.step(OldInput::Eof),
        }
    }

    /// Returns what the last line means.
    fn take_lines(&mut self) -> OldAction {
        let mut action = OldAction::Nothing;
        // Nonsense ends the handover, so nothing is read after it.
        while self.state != OldState::Over
            && let Some(received) = self.channel.next_line()
        {
            let input = match received {
                Received::Line(line) => FromNew::parse(&line).map_or_else(OldInput::Garbage, OldInput::Said),
                Received::Garbage(garbage) => OldInput::Garbage(garbage),
                Received::Eof | Received::Nothing => OldInput::Eof,
            };
            action = self.state.step(input);
        }
        action
    }

    fn not_in_charge(&self) -> HandoverError {
        let text = format!(
            "the new process (pid {}) has closed the connection in place of taking charge{}, and this one drains: look whether \
             that process serves",
            self.pid,
            self.how_new_has_ended()
        );
        HandoverError::new(HandoverErrorKind::Lost, text)
    }

    fn not_charged(&self) -> HandoverError {
        let text = format!(
            "the new process (pid {}) has said that it is ready, and hangs since then; this one drains: look at that process",
            self.pid
        );
        HandoverError::new(HandoverErrorKind::Lost, text)
    }

    /// How new has ended, in brackets. Empty if new goes on, or is no child.
    ///
    /// New is not reaped. It is the main process of the supervisor by now, and the supervisor becomes its parent when this
    /// process ends. A process that was reaped would have ended unseen, and the supervisor would not start another one.
    fn how_new_has_ended(&self) -> String {
        let Some(child) = &self.child else { return String::new() };
        let new = Pid::from_child(child);
        // The kernel closes the connection a moment before the end can be seen.
        if let Ok(process) = pidfd_open(new, PidfdFlags::empty()) {
            _ = readable([process.as_fd()], Some(Instant::now() + END_SEEN));
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let Ok(Some(status)) = waitid(WaitId::Pid(new), options) else { return String::new() };
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!(" (exit status: {code})"),
            (None, Some(signal)) => format!(" (signal: {signal})"),
            (None, None) => String::new(),
        }
    }

    /// Old drains. New is told of that until one of the two ends.
    pub(super) fn accompany(mut self) {
        let handover = Arc::clone(&self.of.handover);
        let Some(over) = handover.over() else { return };
        let Some(left) = all_left(&handover.servers()) else { return };
        let (mut has_said_closed, mut said) = (false, String::new());
        while self.state != OldState::Over {
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
            if has_said_something && self.hear() == OldAction::NoteStop {
                journal::info!("the new process (pid {}) was asked to stop, while this one drains", self.pid);
                return;
            }
        }
        journal::error!(
            "the new process (pid {}) has ended{}, while this one drains: start another one, unless a supervisor does",
            self.pid,
            self.how_new_has_ended()
        );
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
