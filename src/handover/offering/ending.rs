//! The end of a new process that does not come to serve.

use std::{
    io,
    os::fd::AsFd,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Session;
use crate::{
    engine::net::{Holding, Lent},
    handover::{
        HandoverError, HandoverErrorKind,
        channel::{Received, readable},
        protocol::{EndOfNew, FromOld},
    },
    isolation::journal,
};

/// How long a new process that was killed, or told to give up, is waited for. A killed process is gone within milliseconds.
const END_OF_NEW: Duration = Duration::from_secs(1);

impl Session {
    /// Ends the new process, and has the listeners alone again.
    pub(super) fn end_new(&mut self, why: EndOfNew) -> HandoverError {
        let ends_by_itself = matches!(why, EndOfNew::Exited | EndOfNew::Failed(_));
        if !ends_by_itself {
            let text = match &why {
                EndOfNew::Stopping => "it was asked to stop".to_owned(),
                EndOfNew::TimedOut => "the new process took too long".to_owned(),
                EndOfNew::Garbage(garbage) => garbage.to_string(),
                EndOfNew::NotOffered(text) => text.clone(),
                EndOfNew::Exited | EndOfNew::Failed(_) => String::new(),
            };
            _ = self.channel.say(&FromOld::Cancelled { text }.to_line());
        }
        let is_gone = match &mut self.child {
            Some(child) => {
                // Its own exit status tells more than that of a kill.
                let has_exited = ends_by_itself && wait_exited(child);
                has_exited || kill(child)
            }
            // It ends by itself.
            None => matches!(self.channel.line_until(Some(Instant::now() + END_OF_NEW)), Ok(Received::Eof)),
        };
        match is_gone {
            true => self.listeners.drain(..).for_each(|(_, listener)| listener.holding.lend(Lent::No)),
            false => journal::warn!(
                "process {} does not end: its copies of the listeners are open until it does, and a stop of this process loses \
                 clients until then",
                self.pid
            ),
        }
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        let who = format!("the new process (pid {})", self.pid);
        // A process that has connected by itself is not ours to kill.
        let ended = if self.child.is_some() { "ended" } else { "told to give up" };
        let (kind, text) = match why {
            EndOfNew::Exited => {
                let status = status.map_or_else(String::new, |status| format!(" ({status})"));
                (HandoverErrorKind::Exited, format!("{who} ended before it served{status}"))
            }
            EndOfNew::Failed(text) => (HandoverErrorKind::Failed, format!("{who} cannot serve: {text}")),
            EndOfNew::Garbage(garbage) => {
                (HandoverErrorKind::Protocol, format!("{who} does not speak softstop/1: {garbage}"))
            }
            EndOfNew::TimedOut => {
                (HandoverErrorKind::TimedOut, format!("{who} took too long, and was {ended}"))
            }
            EndOfNew::Stopping => {
                (HandoverErrorKind::Stopping, format!("this process was asked to stop, so {who} was {ended}"))
            }
            EndOfNew::NotOffered(text) => (HandoverErrorKind::NotStarted, text),
        };
        HandoverError::new(kind, text).with_output(self.output.last_lines())
    }

    /// Waits for a new process that was told to give up, and did not do so in time. Its connection ends with it.
    pub(super) fn watch_to_the_end(mut self) {
        if self.listeners.is_empty() {
            return;
        }
        let Some(over) = self.of.handover.over() else { return };
        // Without the descriptors: one that stays open here would keep the socket open when this process closes its listeners.
        let lent: Vec<Holding> = self.listeners.drain(..).map(|(_, listener)| listener.holding).collect();
        let body = move || {
            while let Ok([has_said_something, false]) = readable([self.channel.as_fd(), over.as_fd()], None) {
                // What that process says does not matter any more.
                if has_said_something && self.channel.fill().is_ok_and(|count| count > 0) {
                    self.channel.forget();
                    continue;
                }
                journal::info!(
                    "process {} has given up: the listeners belong to this process alone",
                    self.pid
                );
                lent.iter().for_each(|holding| holding.lend(Lent::No));
                if let Some(child) = &mut self.child {
                    // Its descriptors are closed, so it ends within a moment.
                    _ = child.wait();
                }
                return;
            }
        };
        let thread = thread::Builder::new().name("handover end".to_owned()).spawn(body);
        if let Err(error) = thread {
            journal::warn!("the end of the other process is not seen: no thread to be had: {error}");
        }
    }
}

/// Waits until a child has exited, but not for long. A process that sleeps in the kernel cannot be waited for without a bound.
fn wait_exited(child: &mut Child) -> bool {
    let until = Instant::now() + END_OF_NEW;
    let exited = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
        .map_err(io::Error::from)
        .and_then(|process| readable([process.as_fd()], Some(until)));
    match exited {
        Ok([is_over]) => is_over && child.wait().is_ok(),
        // An old kernel. The caller kills the process, and a killed process can be waited for.
        Err(_) => false,
    }
}

/// Kills a child and reaps it. Returns whether it is gone.
fn kill(child: &mut Child) -> bool {
    // Fails if it has ended already.
    _ = child.kill();
    let has_no_pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).is_err();
    if has_no_pidfd { child.wait().is_ok() } else { wait_exited(child) }
}
