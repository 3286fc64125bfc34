//! Signals that ask for a stop. `signal-hook` writes them to a pipe, and a thread blocks on reading it: nothing is
//! polled, and nothing but that write happens in the signal handler.

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

/// A signal that can ask for a stop.
///
/// A signal that the process has inherited as ignored stays ignored: `nohup` does this with SIGHUP, and a shell without
/// job control does it with SIGINT and SIGQUIT for its background jobs. (Known on Linux, where `/proc` is mounted.)
///
/// A signal that the thread has inherited as blocked does not arrive, which is logged as a warning. Safe code cannot
/// unblock a signal: the parent has to, before it executes this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the service manager, or `kill`.
    Terminate,
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGQUIT: Ctrl-\\.
    Quit,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
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

/// Calls back for each signal, from the moment it is made until it is dropped.
#[derive(Debug)]
pub(crate) struct SignalThread {
    handle: Handle,
    listened_to: Vec<Signal>,
}

impl SignalThread {
    /// Listens to these signals, except for those that are ignored since the process began.
    pub(crate) fn new(
        signals: &[Signal],
        mut on_signal: impl FnMut(Signal) + Send + 'static,
    ) -> io::Result<SignalThread> {
        let dispositions = Dispositions::of_this_thread();
        let heard = not_ignored(signals, &dispositions);
        // The pipe comes first: from its being there, no signal is swallowed.
        let mut incoming = Signals::new(heard.iter().map(|signal| signal.number()))?;
        listen(&heard)?;
        let thread = SignalThread { handle: incoming.handle(), listened_to: heard };
        let signal_of = |number| Signal::ALL.into_iter().find(|signal| signal.number() == number);
        let body = move || incoming.forever().filter_map(signal_of).for_each(&mut on_signal);
        thread::Builder::new().name("signals".to_owned()).spawn(body)?;
        for signal in signals {
            if !thread.listened_to.contains(signal) {
                journal::info!("{signal}: stays ignored, as it was when the process began");
            } else if dispositions.blocked.has(*signal) {
                journal::warn!("{signal}: is blocked, as it was when the process began, and does not arrive");
            }
        }
        Ok(thread)
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        // The thread is not joined: it may be in a user's code, and ends when that returns.
        self.handle.close();
        listen_no_more(&self.listened_to);
    }
}

/// What is known of each signal that somebody has wanted to listen to.
static KNOWN: Mutex<BTreeMap<i32, Known>> = Mutex::new(BTreeMap::new());

enum Known {
    /// Since the process began.
    Ignored,
    /// How many listen to it, and what the signal's default depends on.
    Listened { listeners: usize, nobody: Arc<AtomicBool> },
}

/// Those of the signals that were not ignored when the process began, each once.
fn not_ignored(signals: &[Signal], dispositions: &Dispositions) -> Vec<Signal> {
    let mut known = lock(&KNOWN);
    let mut heard = Vec::new();
    for &signal in signals {
        // While nobody has listened to a signal, it is as the process has inherited it.
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

/// Notes one listener more. `signal-hook` leaves its handler in place when nobody listens any more, where it would swallow
/// the signal; while there is no listener, a signal does what it does by default.
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

/// Notes one listener less.
fn listen_no_more(signals: &[Signal]) {
    let mut known = lock(&KNOWN);
    for signal in signals {
        if let Some(Known::Listened { listeners, nobody }) = known.get_mut(&signal.number()) {
            *listeners -= 1;
            nobody.store(*listeners == 0, Ordering::SeqCst);
        }
    }
}
