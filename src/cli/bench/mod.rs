//! `softstop bench`: the microscope. It measures what an accept loop costs ([`accept`]), what a stop of softstop's server
//! takes and loses ([`stop`]), and how quick any HTTP/1.1 server is ([`load`]).
//!
//! All three send with the one [`generator`], count into [`distribution`]s, and end early with what they have at a Ctrl-C.
//! What is to be learned from `accept` is in [`strategies`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub(crate) mod arguments;

mod accept;
mod chart;
mod distribution;
mod generator;
mod load;
mod output;
mod stop;
mod strategies;
mod target;
mod watch;

use std::{
    error::Error,
    io,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use arguments::Bench;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};
use softstop::Context;

/// Signals within this time are one: `timeout` sends each twice, to the process and to its group. Nobody who has lost
/// patience is as quick.
const SAME: Duration = Duration::from_millis(500);

/// Measures, and prints what it has found.
pub(crate) fn bench(what: &Bench) -> ExitCode {
    measure(what).unwrap_or_else(|error| {
        eprintln!("softstop: {}", advised(&*error));
        ExitCode::FAILURE
    })
}

fn measure(what: &Bench) -> Result<ExitCode, Box<dyn Error>> {
    output::prepare(what.output())?;
    let context = until_interrupted()?;
    match what {
        Bench::Accept(options) => accept::run(options, &context),
        Bench::Stop(options) => stop::run(options, &context),
        Bench::Load(options) => load::run(options, &context),
    }
}

/// A context that the first signal ends. A later one ends the process, but not one that comes [with the first](SAME).
fn until_interrupted() -> io::Result<Context> {
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let context = Context::new();
    let ending = context.clone();
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut first = None;
        for signal in signals.forever() {
            let since = *first.get_or_insert_with(Instant::now);
            ending.cancel("interrupted");
            if since.elapsed() > SAME {
                // It fails for signals that have no default, which these have.
                _ = emulate_default_handler(signal);
            }
        }
    })?;
    Ok(context)
}

/// What went wrong, with what to do about it where that is known.
fn advised(error: &(dyn Error + 'static)) -> String {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    if matches!(code, Some(ENFILE | EMFILE)) {
        return format!("{error}: raise the limit with `ulimit -n`, or ask for less");
    }
    error.to_string()
}
