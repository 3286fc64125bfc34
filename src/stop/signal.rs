//! Signals that ask for a stop.
//!
//! ```text
//!   kernel ── signal ──> handler of `signal-hook`: notes the number, and sends one byte to a socket pair
//!                                                              │
//!   thread `signals`: blocks in `recvfrom` of the socket pair <────┘    then calls `on_signal`, for each signal that was noted
//! ```
//!
//! The signal handler does nothing else, because only a few system calls are allowed in it (signal-safety(7)). No thread
//! polls. The user's code runs on the thread, where it may block.

mod inherited;
mod press;

pub(crate) use press::Presses;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    flag::register_conditional_default,
    iterator::{Handle, Signals},
};

use self::inherited::Dispositions;
use crate::{isolation::journal, sync::lock};

/// A signal that can ask for a stop: see [`Group::stop_on`](crate::Group::stop_on).
///
/// **Ignored signals stay ignored.** A process inherits ignored signals from its parent: `nohup` ignores SIGHUP, and a shell
/// without job control ignores SIGINT and SIGQUIT for its background jobs. softstop respects this where it can read `/proc`:
/// on Linux, where `/proc` is mounted.
///
/// **Blocked signals do not arrive.** A process also inherits blocked signals. softstop logs a warning for each, because safe
/// code cannot unblock a signal. The parent has to unblock it before it executes this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: sent by the terminal for Ctrl-C.
    Interrupt,
    /// SIGTERM: sent by a service manager, and by `kill` by default.
    Terminate,
    /// SIGHUP: sent when the terminal is closed.
    Hangup,
    /// SIGQUIT: sent by the terminal for Ctrl-\\.
    Quit,
    /// SIGUSR1: free for any use.
    User1,
    /// SIGUSR2: free for any use.
    User2,
}

impl Signal {
    const ALL: [Signal; 6] =
        [Signal::Interrupt, Signal::Terminate, Signal::Hangup, Signal::Quit, Signal::User1, Signal::User2];

    fn number(self) -> i32 {
        match self {
            Signal::Interrupt => SIGINT,
            Signal::Terminate => SIGTERM,
            Signal::Hangup => SIGHUP,
            Signal::Quit => SIGQUIT,
            Signal::User1 => SIGUSR1,
            Signal::User2 => SIGUSR2,
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Signal::Interrupt => "SIGINT",
            Signal::Terminate => "SIGTERM",
            Signal::Hangup => "SIGHUP",
            Signal::Quit => "SIGQUIT",
            Signal::User1 => "SIGUSR1",
            Signal::User2 => "SIGUSR2",
        })
    }
}

/// A thread that calls a callback for each signal, until the `SignalThread` is dropped.
#[derive(Debug)]
pub(crate) struct SignalThread {
    handle: Handle,
    listened_to: Vec<Signal>,
}

impl SignalThread {
    /// Starts to listen to these signals, except for those that have been ignored since the process began.
    ///
    /// # Errors
    ///
    /// If there is no descriptor for the socket pair, no signal handler can be set, or no thread can be started.
    pub(crate) fn new(
        signals: &[Signal],
        mut on_signal: impl FnMut(Signal) + Send + 'static,
    ) -> io::Result<SignalThread> {
        let dispositions = Dispositions::of_this_thread();
        let heard = not_ignored(signals, &dispositions);
        // Set the handlers and the socket pair first, so that no signal is lost from here on.
        let mut incoming = Signals::new(heard.iter().map(|signal| signal.number()))?;
        listen(&heard)?;
        let thread = SignalThread { handle: incoming.handle(), listened_to: heard };
        let signal_of = |number| Signal::ALL.into_iter().find(|signal| signal.number() == number);
        let body = move || incoming.forever().filter_map(signal_of).for_each(&mut on_signal);
        thread::Builder::new().name("signals".to_owned()).spawn(body)?;
        for signal in signals {
            if !thread.listened_to.contains(signal) {
                journal::info!("{signal}: stays ignored, because it was ignored when the process began");
            } else if dispositions.blocked.has(*signal) {
                journal::warn!("{signal}: does not arrive, because it was blocked when the process began");
            }
        }
        Ok(thread)
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        // The thread is not joined, because it may be in a user's code. The thread ends when that code returns.
        self.handle.close();
        listen_no_more(&self.listened_to);
    }
}

/// Each signal to which a `SignalThread` was asked to listen, by its number.
static KNOWN: Mutex<BTreeMap<i32, Known>> = Mutex::new(BTreeMap::new());

enum Known {
    /// The signal has been ignored since the process began.
    Ignored,
    /// `signal-hook` has a handler for the signal. While `nobody` is true, the handler does what the signal does by default.
    Listened { listeners: usize, nobody: Arc<AtomicBool> },
}

/// The signals that were not ignored when the process began, without duplicates.
fn not_ignored(signals: &[Signal], dispositions: &Dispositions) -> Vec<Signal> {
    let mut known = lock(&KNOWN);
    let mut heard = Vec::new();
    for &signal in signals {
        // Before the first listener, the disposition of a signal is the inherited one.
        if dispositions.ignored.has(signal) {
            known.entry(signal.number()).or_insert(Known::Ignored);
        }
        let is_ignored = matches!(known.get(&signal.number()), Some(Known::Ignored));
        if !is_ignored && !heard.contains(&signal) {
            heard.push(signal);
        }
    }
    heard
}

/// Counts one listener more for each signal.
///
/// `signal-hook` leaves its handler in place when the last listener is gone, and the handler alone would swallow the signal. So
/// a second handler (`register_conditional_default`) does what the signal does by default while there is no listener.
fn listen(signals: &[Signal]) -> io::Result<()> {
    let mut known = lock(&KNOWN);
    for signal in signals {
        let entry = match known.entry(signal.number()) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let nobody = Arc::new(AtomicBool::new(false));
                register_conditional_default(signal.number(), Arc::clone(&nobody))?;
                entry.insert(Known::Listened { listeners: 0, nobody })
            }
        };
        if let Known::Listened { listeners, nobody } = entry {
            *listeners += 1;
            nobody.store(false, Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Counts one listener less for each signal.
fn listen_no_more(signals: &[Signal]) {
    let mut known = lock(&KNOWN);
    for signal in signals {
        if let Some(Known::Listened { listeners, nobody }) = known.get_mut(&signal.number()) {
            *listeners -= 1;
            nobody.store(*listeners == 0, Ordering::SeqCst);
        }
    }
}
