//! `softstop status`, `reload` and `stop`: the program as a client of the control socket.

mod reload;
mod status;
mod stop;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use softstop::handover::HandoverError;

pub(crate) use self::{
    reload::{Reload, reload},
    status::{Status, status},
    stop::{Stop, stop},
};

/// Which process is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Process {
    /// The control socket of the process: the same path as in serve --control PATH.
    #[arg(long, value_name = "PATH")]
    control: PathBuf,
}

/// Says why there is no answer.
fn fail(error: &HandoverError) -> ExitCode {
    // If standard error cannot be written, the exit status tells.
    _ = writeln!(io::stderr(), "softstop: {error}");
    ExitCode::FAILURE
}

/// Writes the result. A reader that has gone does not want it.
fn print(text: &str) -> ExitCode {
    match writeln!(io::stdout(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
