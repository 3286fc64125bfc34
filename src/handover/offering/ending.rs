//! The end of a new process that does not come to serve.

use std::{
    io,
    os::fd::AsFd,
    process::Child,
    time::{Duration, Instant},
};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::Session;
use crate::{
    engine::net::Lent,
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
            true => self.listeners.iter().for_each(|(_, listener)| listener.holding.lend(Lent::No)),
            false => journal::warn!(
                "process {} does not end: its copies of the listeners are open until it does",
                self.pid
            ),
        }
        self.listeners.clear();
        let status = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        let who = format!("the new process (pid {})", self.pid);
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
                (HandoverErrorKind::TimedOut, format!("{who} took too long, and was ended"))
            }
            EndOfNew::Stopping => {
                (HandoverErrorKind::Stopping, format!("this process was asked to stop, so {who} was ended"))
            }
        };
        HandoverError::new(kind, text).with_output(self.output.last_lines())
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
