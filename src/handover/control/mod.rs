//! The control socket of a group: a Unix socket at which a process of the same user, or of root, asks for the status, a
//! reload or a stop, or takes over.
//!
//! ```text
//!   thread `control`: poll(control socket, end of the group)        no time-out: an idle process makes no system call
//!        │ a client
//!        v
//!   thread `control client`: one request line within 2 s, then the answer      at most 16 at a time
//! ```

mod client;
mod clients;
mod listener;

use std::{
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

pub use client::{Control, OlderStatus, ServerStatus, Status, Stopped};
pub(crate) use listener::{ControlListener, is_same_file};

use super::{
    channel::{Bell, Channel, readable},
    protocol::Answer,
    state::Of,
};
use crate::{engine::net::AcceptFailure, isolation::journal};

/// The most clients at a time. Further ones are turned away, so that nobody can use up the threads.
const MOST_CLIENTS: usize = 16;

/// How long the thread waits when descriptors have run out. The socket stays readable meanwhile, so to wait for it would spin.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers at the control socket until the group has ended, or the socket is another process's.
pub(super) fn answer(of: &Of, over: &Arc<Bell>) {
    let Some(listener) = of.handover.has_control() else { return };
    listener.own();
    let (there, over) = (of.clone(), Arc::clone(over));
    let body = move || {
        let clients = Arc::new(AtomicUsize::new(0));
        loop {
            match readable([listener.as_fd(), listener.bell().as_fd(), over.as_fd()], None) {
                Ok([true, false, false]) => {}
                Ok([false, false, false]) => continue,
                Ok(_) => return,
                Err(error) => {
                    journal::error!("nobody answers at the control socket any more: {error}");
                    return;
                }
            }
            let stream = match listener.accept() {
                Ok(stream) => stream,
                Err(error) => match AcceptFailure::of(&error) {
                    AcceptFailure::Empty | AcceptFailure::Interrupted | AcceptFailure::Lost => continue,
                    AcceptFailure::Paused => {
                        journal::warn!("a client of the control socket has to wait: {error}");
                        // The outcome is asked for again at the beginning of the loop.
                        _ = readable([listener.bell().as_fd(), over.as_fd()], Some(Instant::now() + PAUSE));
                        continue;
                    }
                    AcceptFailure::Failed => {
                        journal::error!("nobody answers at the control socket any more: {error}");
                        // A client shall not wait for an answer. A process that has the socket by now keeps its path.
                        if let Some(control) = there.handover.take_control() {
                            control.close();
                        }
                        return;
                    }
                },
            };
            if clients.fetch_add(1, Ordering::AcqRel) >= MOST_CLIENTS {
                clients.fetch_sub(1, Ordering::AcqRel);
                turn_away(stream);
                continue;
            }
            let (of, count, privacy) = (there.clone(), Arc::clone(&clients), listener.privacy());
            let client = move || {
                clients::serve(&of, privacy, stream);
                count.fetch_sub(1, Ordering::AcqRel);
            };
            if let Err(error) = thread::Builder::new().name("control client".to_owned()).spawn(client) {
                clients.fetch_sub(1, Ordering::AcqRel);
                journal::warn!("a client of the control socket gets no answer: no thread: {error}");
            }
        }
    };
    if let Err(error) = thread::Builder::new().name("control".to_owned()).spawn(body) {
        journal::error!("nobody answers at the control socket: no thread: {error}");
    }
}

/// Tells a client that there are too many. Never blocks, because the buffer of a new connection is empty.
fn turn_away(stream: UnixStream) {
    if let Ok(mut channel) = Channel::new(stream) {
        let text = format!("busy: {MOST_CLIENTS} other clients are connected");
        // The client may have gone.
        _ = channel.say(&Answer::Refused { text }.to_line());
    }
}
