//! The program: its arguments, its commands and its exit status.

mod arguments;
mod bench;
mod check;
mod client;
mod control;
mod destination;
mod load;
mod serve;
mod services;
mod words;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

/// The stop cut something off.
const UNCLEAN: u8 = 2;

/// The command line makes no sense. The value is EX_USAGE of sysexits.h, so that 2 keeps its meaning.
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
        // These commands start and stop a server many times. The success of each start and stop is no news.
        Command::Bench(_) | Command::Check(_) => "warn",
        Command::Status(_) | Command::Reload(_) | Command::Stop(_) => "warn",
    });
    env_logger::Builder::new().parse_filters(log).init();
    match command {
        Command::Serve(options) => serve::serve(&options),
        Command::Status(options) => control::status(&options),
        Command::Reload(options) => control::reload(&options),
        Command::Stop(options) => control::stop(&options),
        Command::Bench(what) => bench::bench(&what),
        Command::Check(what) => check::check(&what),
    }
}
