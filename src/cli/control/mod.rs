//! `softstop status`, `reload` and `stop`: the program as a client of the control socket.

mod reload;
mod status;
mod stop;

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use softstop::handover::{Control, HandoverError, HandoverErrorKind};

pub(crate) use self::{
    reload::{Reload, reload},
    status::{Status, status},
    stop::{Stop, stop},
};

/// Which process is asked.
#[derive(Debug, Clone, Args)]
pub(crate) struct Process {
    /// The control socket of the process: the same path as in serve --control PATH. If nobody answers there, the command
    /// tries again for two seconds, because the process may be just starting.
    #[arg(long, value_name = "PATH")]
    control: PathBuf,
}

/// How long a process may take from its start to its control socket.
const STARTING: Duration = Duration::from_secs(2);
/// The pause between two attempts. The kernel does not tell when a socket is bound.
const PAUSE: Duration = Duration::from_millis(50);

impl Process {
    /// Asks the process. Tries again for a moment if nobody answers.
    fn ask<T>(&self, mut ask: impl FnMut(&Control) -> Result<T, HandoverError>) -> Result<T, HandoverError> {
        let (control, until) = (Control::at(&self.control), Instant::now() + STARTING);
        loop {
            match ask(&control) {
                Err(error) if error.kind() == HandoverErrorKind::Unreachable && Instant::now() < until => {
                    thread::sleep(PAUSE);
                }
                outcome => return outcome,
            }
        }
    }
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
