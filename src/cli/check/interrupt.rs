//! Ctrl-C ends the run, and no process is left running.

use std::{
    io, process, thread,
    time::{Duration, Instant},
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};
use softstop::Context;

use super::server::tree;

/// Signals within this time count as one, because `timeout` sends each signal to the process and to its group.
const SAME: Duration = Duration::from_millis(500);
const INTERRUPTED: i32 = 1;

/// A context that the first signal cancels. A later signal kills every started process, and ends this process at once.
pub(super) fn until_interrupted() -> io::Result<Context> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let context = Context::new();
    let ending = context.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first = None;
        for _ in signals.forever() {
            let since = *first.get_or_insert_with(Instant::now);
            // Each server has registered a callback that kills it: see `Server`.
            ending.cancel("interrupted");
            if since.elapsed() > SAME {
                tree::kill_all();
                process::exit(INTERRUPTED);
            }
        }
    })?;
    Ok(context)
}
