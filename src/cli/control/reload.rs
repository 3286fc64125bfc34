//! `softstop reload`: replaces the process, and waits until the new one serves.

use std::{
    collections::VecDeque,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use softstop::handover::Control;

use super::{Process, fail, print};
use crate::cli::arguments::duration;

/// How many lines of a new process that has failed are shown.
const LAST_LINES: usize = 10;

#[derive(Debug, Clone, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    process: Process,
    /// How long the new process may take until it serves. After that time it is killed.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration)]
    timeout: Duration,
}

pub(crate) fn reload(options: &Reload) -> ExitCode {
    let mut last = VecDeque::new();
    let on_line = |last: &mut VecDeque<String>, line: &str| {
        last.push_back(line.to_owned());
        if last.len() > LAST_LINES {
            last.pop_front();
        }
    };
    let ask = |control: &Control| control.reload(options.timeout, |line| on_line(&mut last, line));
    let outcome = options.process.ask(ask);
    match outcome {
        Ok(replaced) => print(&replaced.to_string()),
        Err(error) => {
            for line in last {
                // If standard error cannot be written, the exit status tells.
                _ = writeln!(io::stderr(), "  {line}");
            }
            fail(&error)
        }
    }
}
