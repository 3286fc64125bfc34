//! The program: what it is told, what it does, and how it ends.

mod arguments;
mod serve;
mod services;

use std::process::ExitCode;

use arguments::{Arguments, Command};
use clap::Parser;

pub(crate) fn main() -> ExitCode {
    let arguments = Arguments::parse();
    env_logger::Builder::new().parse_filters(&arguments.log).init();
    match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(options) => serve::serve(&options),
    }
}
