//! `serve` under a supervisor: readiness, the watchdog, and the orphans of a container.

use clap::Args;

use softstop::{
    Error,
    deploy::{ReadyDescriptor, Supervisor},
};

use super::orphans;

#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Write a newline to this inherited descriptor once all servers serve, as s6 wants it: the number in the file
    /// `notification-fd`. systemd needs no option, because NOTIFY_SOCKET and WATCHDOG_USEC are used where they are set.
    #[arg(long, value_name = "N")]
    ready_fd: Option<u32>,
}

/// Reads what the supervisor wants. To be called before the program opens a file or starts a thread: `--ready-fd` must not name a
/// descriptor of the program itself.
pub(crate) fn prepare(options: &Options) -> Result<Supervisor, Error> {
    let descriptor = options.ready_fd.map(ReadyDescriptor::open).transpose()?;
    let supervisor = Supervisor::from_environment()?;
    orphans::reap_as_process_1();
    Ok(match descriptor {
        Some(descriptor) => supervisor.ready_descriptor(descriptor),
        None => supervisor,
    })
}
