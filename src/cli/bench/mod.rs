//! `softstop bench` measures three things: the cost of an accept loop ([`accept`]), the time and the losses of a stop of
//! softstop's server ([`stop`]), and the speed of any HTTP/1.1 server ([`load`]).
//!
//! `accept` and `load` use the same [`generator`]. `stop` uses the clients of `softstop check`, because both count losses. All
//! three collect times in [`distribution`]s. After Ctrl-C each ends early and prints what
//! was measured so far. The lesson of `accept` is in [`strategies`].
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
    io::{self, Write},
    process::ExitCode,
};

use arguments::Bench;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    low_level::emulate_default_handler,
};
use softstop::{Context, Group, Signal, StopPolicy};

/// Measures, and prints the results.
pub(crate) fn bench(what: &Bench) -> ExitCode {
    measure(what).unwrap_or_else(|error| {
        // If standard error cannot be written either, there is no other place for the message.
        _ = writeln!(io::stderr(), "softstop: {}", advised(&*error));
        ExitCode::FAILURE
    })
}

fn measure(what: &Bench) -> Result<ExitCode, Box<dyn Error>> {
    let results = output::Results::prepare(what.output())?;
    let context = Context::new();
    // A group without servers, for its signals. Groups also decide which signals belong to one press.
    let _signals = until_interrupted(&context);
    match what {
        Bench::Accept(options) => accept::run(options, results, &context),
        Bench::Stop(options) => stop::run(options, results, &context),
        Bench::Load(options) => load::run(options, results, &context),
    }
}

/// Listens to signals until the caller drops the group. The first press ends the context, and the second one the process.
fn until_interrupted(context: &Context) -> Group {
    let ending = context.clone();
    Group::new().stop_on(&[Signal::Interrupt, Signal::Terminate], move |signal, count| {
        ending.cancel("interrupted");
        if count > 1 {
            let number = if signal == Signal::Interrupt { SIGINT } else { SIGTERM };
            // The call fails only for signals without a default action. Both signals have one.
            _ = emulate_default_handler(number);
        }
        Some(StopPolicy::now())
    })
}

/// The text of an error, with advice if the process has too few descriptors.
fn advised(error: &(dyn Error + 'static)) -> String {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    let code = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    if matches!(code, Some(ENFILE | EMFILE)) {
        return format!("{error}: raise the limit with `ulimit -n`, or ask for less");
    }
    error.to_string()
}
