//! Signals that ask for a stop. `signal-hook` writes them to a pipe, and a thread blocks on reading it: nothing is
//! polled, and nothing but that write happens in the signal handler.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag::register_conditional_default,
    iterator::{Handle, Signals},
};

use crate::sync::lock;

/// The signals that ask for a stop: the terminal's and the service manager's.
const STOPPING: [i32; 2] = [SIGINT, SIGTERM];

/// Calls back for each signal, from the moment it is made until it is dropped.
#[derive(Debug)]
pub(crate) struct SignalThread {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl SignalThread {
    pub(crate) fn new(mut on_signal: impl FnMut(&'static str) + Send + 'static) -> io::Result<SignalThread> {
        let mut signals = Signals::new(STOPPING)?;
        listen(1)?;
        let handle = signals.handle();
        let body = move || signals.forever().for_each(|signal| on_signal(name(signal)));
        let thread = thread::Builder::new().name("signals".to_owned()).spawn(body)?;
        Ok(SignalThread { handle, thread: Some(thread) })
    }
}

impl Drop for SignalThread {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the signal thread panicked");
        }
        if let Err(error) = listen(-1) {
            log::error!("signals are still held back: {error}");
        }
    }
}

/// Notes one listener more or less. `signal-hook` leaves its handler in place when nobody listens any more, where it would
/// swallow the signal; while there is no listener, a signal does what it does by default.
fn listen(change: isize) -> io::Result<()> {
    static LISTENERS: Mutex<(isize, Option<Arc<AtomicBool>>)> = Mutex::new((0, None));
    let mut listeners = lock(&LISTENERS);
    if listeners.1.is_none() {
        let unheard = Arc::new(AtomicBool::new(false));
        for signal in STOPPING {
            register_conditional_default(signal, Arc::clone(&unheard))?;
        }
        listeners.1 = Some(unheard);
    }
    listeners.0 += change;
    if let (count, Some(unheard)) = &*listeners {
        unheard.store(*count == 0, Ordering::SeqCst);
    }
    Ok(())
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        _ => "signal",
    }
}
