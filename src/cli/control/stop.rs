//! `softstop stop`: stops the process, and waits until it has ended.

use std::{os::fd::AsFd, process::ExitCode, time::Duration};

use clap::Args;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, pidfd_open},
};
use softstop::handover::{Control, Stopped};

use super::{Process, fail, print};
use crate::cli::{UNCLEAN, arguments::duration};

/// How long a process may take to exit once its servers have stopped. It writes its report in that time.
const EXIT: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Args)]
pub(crate) struct Stop {
    #[command(flatten)]
    process: Process,
    /// How long requests in flight may take to finish, in place of the grace period of the process.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    grace: Option<Duration>,
}

pub(crate) fn stop(options: &Stop) -> ExitCode {
    let ask = |control: &Control| control.stop(options.grace, |waits| log::info!("waits for: {waits}"));
    let outcome = options.process.ask(ask);
    match outcome {
        Ok(Stopped { pid, is_clean, .. }) => {
            wait_for_exit(pid);
            match is_clean {
                true => print("stopped cleanly"),
                false => {
                    print("stopped, but not everything could be finished");
                    ExitCode::from(UNCLEAN)
                }
            }
        }
        Err(error) => fail(&error),
    }
}

/// The process has said how it has stopped. Waits until the process is gone, where the kernel can tell.
fn wait_for_exit(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let Some(process) = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else { return };
    let time_out = Timespec { tv_sec: EXIT.as_secs().cast_signed(), tv_nsec: 0 };
    // Interrupted or not: the outcome of the stop is known.
    _ = poll(&mut [PollFd::from_borrowed_fd(process.as_fd(), PollFlags::IN)], Some(&time_out));
}
