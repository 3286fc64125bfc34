//! The program: what it is told, what it does, and how it ends.

mod arguments;
mod bench;
mod serve;
mod services;
mod words;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

/// The command line makes no sense: EX_USAGE of sysexits.h, so that 2 keeps its meaning.
const USAGE: u8 = 64;

pub(crate) fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let status = if error.use_stderr() { USAGE } else { 0 };
            return match error.print() {
                Ok(()) => ExitCode::from(status),
                Err(_) => ExitCode::FAILURE,
            };
        }
    };
    let command = arguments.command.unwrap_or(Command::Serve(arguments.serve));
    let log = arguments.log.as_deref().unwrap_or(match command {
        Command::Serve(_) => "info",
        // It starts and stops a server many times; that each did is not what it is about.
        Command::Bench(_) => "warn",
    });
    env_logger::Builder::new().parse_filters(log).init();
    match command {
        Command::Serve(options) => serve::serve(&options),
        Command::Bench(what) => bench::bench(&what),
    }
}
