//! Signals that ask for a stop. `signal-hook` writes them to a pipe, and a thread blocks on reading it: nothing is
//! polled, and nothing but that write happens in the signal handler.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt, io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    flag::register_conditional_default,
    iterator::{Handle, Signals},
};

use crate::{joining::join_until, journal, sync::lock};

/// How long the thread is waited for. What it calls is a user's, and may block.
const LAST_SIGNAL: Duration = Duration::from_millis(250);

/// A signal that can ask for a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM: the service manager, or `kill`.
    Terminate,
    /// SIGHUP: the terminal is gone, or somebody wants a reload.
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
    thread: Option<JoinHandle<()>>,
    listened_to: Vec<Signal>,
}

impl SignalThread {
    pub(crate) fn new(
        signals: &[Signal],
        mut on_signal: impl FnMut(Signal) + Send + 'static,
    ) -> io::Result<SignalThread> {
        let mut incoming = Signals::new(signals.iter().map(|signal| signal.number()))?;
        listen(signals, 1)?;
        let handle = incoming.handle();
        let signal_of = |number| Signal::ALL.into_iter().find(|signal| signal.number() == number);
        let body = move || incoming.forever().filter_map(signal_of).for_each(&mut on_signal);
        let thread = thread::Builder::new().name("signals".to_owned()).spawn(body)?;
        Ok(SignalThread { handle, thread: Some(thread), listened_to: signals.to_vec() })
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        self.handle.close();
        let thread = self.thread.take().into_iter().collect();
        if join_until(thread, Instant::now() + LAST_SIGNAL) > 0 {
            journal::warn!("the choice of a policy for a signal has not returned, and is left behind");
        }
        if let Err(error) = listen(&self.listened_to, -1) {
            journal::error!("signals are still held back: {error}");
        }
    }
}

/// Who listens to a signal: how many, and what the signal's default depends on.
struct Listeners {
    count: isize,
    nobody: Arc<AtomicBool>,
}

/// Notes one listener more or less. `signal-hook` leaves its handler in place when nobody listens any more, where it would
/// swallow the signal; while there is no listener, a signal does what it does by default.
fn listen(signals: &[Signal], change: isize) -> io::Result<()> {
    static LISTENERS: Mutex<BTreeMap<i32, Listeners>> = Mutex::new(BTreeMap::new());
    let mut known = lock(&LISTENERS);
    for signal in signals {
        let number = signal.number();
        let listeners = match known.entry(number) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                let nobody = Arc::new(AtomicBool::new(false));
                register_conditional_default(number, Arc::clone(&nobody))?;
                entry.insert(Listeners { count: 0, nobody })
            }
        };
        listeners.count += change;
        listeners.nobody.store(listeners.count == 0, Ordering::SeqCst);
    }
    Ok(())
}
