//! Signals that ask for a stop. `signal-hook` writes them to a pipe, and a thread blocks on reading it: nothing is
//! polled, and nothing but that write happens in the signal handler.

use std::{
    io,
    thread::{self, JoinHandle},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::{Handle, Signals},
};

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
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGINT => "SIGINT",
        SIGTERM => "SIGTERM",
        _ => "signal",
    }
}
