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
mod response;
mod stop;
mod strategies;
mod target;
mod watch;

use std::{error::Error, io, process::ExitCode};

use arguments::Bench;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::emulate_default_handler,
};
use softstop::{Context, Group, Signal, StopPolicy};

/// Measures, and prints what it has found.
pub(crate) fn bench(what: &Bench) -> ExitCode {
    measure(what).unwrap_or_else(|error| {
        eprintln!("softstop: {}", advised(&*error));
        ExitCode::FAILURE
    })
}

fn measure(what: &Bench) -> Result<ExitCode, Box<dyn Error>> {
    output::prepare(what.output())?;
    let context = Context::new();
    // A group for its signals alone: which of them are one press, it decides for the program's servers too.
    let _signals = until_interrupted(&context);
    match what {
        Bench::Accept(options) => accept::run(options, &context),
        Bench::Stop(options) => stop::run(options, &context),
        Bench::Load(options) => load::run(options, &context),
    }
}

/// The first press ends the context, the second one the process. Listens until the group is dropped.
fn until_interrupted(context: &Context) -> Group {
    let ending = context.clone();
    Group::new().stop_on(&[Signal::Interrupt, Signal::Terminate], move |signal, count| {
        ending.cancel("interrupted");
        if count > 1 {
            let number = if signal == Signal::Interrupt { SIGINT } else { SIGTERM };
            // It fails for signals that have no default, which these have.
            _ = emulate_default_handler(number);
        }
        Some(StopPolicy::now())
    })
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
