//! How `serve` is replaced: its control socket, a takeover, SIGHUP, and the pid file.

use std::{path::PathBuf, thread};

use clap::Args;
use softstop::{
    Group, ServerHandle, Signal, StopPolicy,
    deploy::Supervisor,
    handover::{HandoverError, HandoverEvent, Replacement, Takeover},
};

use super::pid_file::PidFile;

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ControlOptions {
    /// Answer at this Unix socket, for softstop status, reload and stop. Only this user and root can connect. SIGHUP then
    /// means reload.
    #[arg(long, value_name = "PATH")]
    pub(crate) control: Option<PathBuf>,
    /// Take over from the process that answers at this control socket. For tools that start the new process themselves;
    /// softstop reload needs no option.
    #[arg(long, value_name = "PATH")]
    pub(crate) takeover: Option<PathBuf>,
    /// Write the process id to this file when the servers serve. The file is replaced in one step, also by a successor, and
    /// removed at the end if it still names this process.
    #[arg(long, value_name = "FILE")]
    pub(crate) pid_file: Option<PathBuf>,
    /// Read everything, say what is wrong, and end. Nothing is bound.
    #[arg(long)]
    pub(crate) check: bool,
}

impl ControlOptions {
    /// The takeover, if this process replaces another one.
    ///
    /// A successor is started with the arguments of its predecessor, so also with `--takeover`. The connection that it was given
    /// wins, because the option names a process that had ended before, or the predecessor itself.
    pub(super) fn takeover(&self) -> Result<Option<Takeover>, HandoverError> {
        match (Takeover::from_environment()?, &self.takeover) {
            (None, Some(path)) => Takeover::connect(path).map(Some),
            (given, _) => Ok(given),
        }
    }

    pub(super) fn pid_file(&self) -> Result<Option<PidFile>, String> {
        self.pid_file.as_deref().map(PidFile::prepare).transpose()
    }

    /// The group, with its control socket and what it takes over. To be called first, because it notes the working directory.
    pub(super) fn prepare(
        &self,
        group: Group,
        takeover: Option<Takeover>,
        pid_file: Option<PidFile>,
        admin: Option<ServerHandle>,
    ) -> Group {
        let group = match &self.control {
            Some(path) => group.control(path),
            None => group,
        };
        let group = match takeover {
            Some(takeover) => group.takeover(takeover),
            None => group,
        };
        group.on_handover(move |event| match (event, &pid_file, &admin) {
            // A successor that has failed may have written the file before.
            (HandoverEvent::InCharge { .. } | HandoverEvent::Failed { .. }, Some(file), _) => {
                if let Err(error) = file.write() {
                    log::error!("{error}");
                }
            }
            // The admin server stops last otherwise. Here the new process has one at the same address, and a request must not
            // reach the one or the other by chance.
            (HandoverEvent::HandedOver { .. }, _, Some(admin)) => admin.request_stop(StopPolicy::default()),
            _ => {}
        })
    }

    /// The signals of the group: as always, but with a control socket SIGHUP replaces the process.
    pub(super) fn signals(&self, group: Group, policy: StopPolicy, supervisor: &Supervisor) -> Group {
        if self.control.is_none() {
            return group.stop_on_signals();
        }
        let (handle, supervisor) = (group.handle(), supervisor.clone());
        let mut presses = 0;
        let signals = [Signal::Interrupt, Signal::Terminate, Signal::Hangup, Signal::Quit];
        group.stop_on(&signals, move |signal, _| {
            if signal == Signal::Hangup {
                let (handle, supervisor) = (handle.clone(), supervisor.clone());
                let reload = move || {
                    // The supervisor may wait for both words since it has sent the signal, even if the reload is refused.
                    supervisor.notify().inspect(|notify| notify.reloading());
                    // The library logs the outcome.
                    if handle.replace(Replacement::default()).is_err() {
                        supervisor.notify().inspect(|notify| notify.ready());
                    }
                };
                if let Err(error) = thread::Builder::new().name("reload".to_owned()).spawn(reload) {
                    log::error!("{signal}: no thread for a reload: {error}");
                }
                return None;
            }
            presses += 1;
            Some(if presses == 1 { policy } else { StopPolicy::now() })
        })
    }
}
