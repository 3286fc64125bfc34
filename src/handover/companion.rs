//! A handover accompanies a group: what the group asks at its start, at a stop, and at its end.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use super::{
    HandoverEvent, Takeover,
    channel::Bell,
    control::{self, ControlListener, is_same_file},
    protocol::{ControlSocket, Offered},
    state::{Beginning, Ended, Handover, Of, StopAnswer},
    taking,
};
use crate::{
    engine::net::GivenListener,
    error::Error,
    group::{Companion, Given, GroupHandle, StopTiming},
    isolation::journal,
    server::ServerHandle,
    stop::StopPolicy,
    sync::lock,
};

/// A takeover between the binding of the servers and the moment when they serve.
#[derive(Debug)]
pub(super) struct Prepared {
    takeover: Takeover,
    control: ControlSocket,
    offered: Vec<(Offered, crate::listen_address::ListenAddress)>,
}

impl Companion for Handover {
    fn begin(&self) -> Result<Given, Error> {
        let (path, takeover) = {
            let mut setup = lock(&self.setup);
            (setup.control.clone(), setup.takeover.take())
        };
        let Some(mut takeover) = takeover else {
            if let Some(path) = path {
                self.keep_control(Some(Arc::new(bind(path)?)));
            }
            return Ok(Given::default());
        };
        let (listener, control) = match control_socket(path, &mut takeover) {
            Ok(answering) => answering,
            Err(error) => {
                takeover.say_failed(&error.to_string());
                takeover.restore_stderr();
                return Err(error);
            }
        };
        self.keep_control(listener.map(Arc::new));
        let listeners = std::mem::take(&mut takeover.listeners);
        let offered = listeners.iter().map(|(offered, given)| (offered.clone(), given.address().clone()));
        let offered = offered.collect();
        lock(&self.setup).prepared = Some(Prepared { takeover, control, offered });
        let given = listeners.into_iter().map(|(offered, given)| (offered.server, given)).collect();
        Ok(Given { listeners: given })
    }

    fn serves(
        self: Arc<Self>,
        group: &GroupHandle,
        servers: Vec<ServerHandle>,
        not_taken: Vec<GivenListener>,
    ) -> Result<(), Error> {
        let cannot = |error| Error::io("no descriptor for the control socket", error);
        let over = Arc::new(Bell::new().map_err(cannot)?);
        let of = Of { handover: Arc::clone(&self), group: group.clone() };
        let prepared = lock(&self.setup).prepared.take();
        let Some(Prepared { takeover, control, offered }) = prepared else {
            let started = self.starts(servers, Arc::clone(&over), 1, Beginning::Alone);
            control::answer(&of, &over);
            if started.is_ok() {
                // This thread runs the group, and must hear of a stop.
                _ = self.tell_aside(HandoverEvent::InCharge { generation: 1, from: None });
            }
            return Ok(());
        };
        for given in &not_taken {
            journal::info!("{}: wanted by no server, so the old process drains it", given.address());
        }
        let is_taken = |address: &_| not_taken.iter().all(|given| given.address() != address);
        let taken = offered.iter().filter(|(_, address)| is_taken(address));
        let taken = taken.map(|(offered, _)| offered.number).collect();
        if self.starts(servers, Arc::clone(&over), takeover.generation, Beginning::Takeover).is_err() {
            takeover.give_up("it was asked to stop");
            return Ok(());
        }
        taking::take_over(&of, takeover, control, taken, over)
    }

    fn has_failed_to_start(&self, error: &Error) {
        let prepared = lock(&self.setup).prepared.take();
        if let Some(Prepared { mut takeover, .. }) = prepared {
            takeover.say_failed(&error.to_string());
            takeover.restore_stderr();
        }
        if let Some(control) = self.take_control() {
            control.close();
        }
    }

    fn on_stop(&self, policy: &StopPolicy, at: Instant) -> StopTiming {
        match Handover::on_stop(self, policy, at) {
            StopAnswer::Now => StopTiming::Now,
            StopAnswer::Later => StopTiming::Later,
        }
    }

    fn stops(&self) {
        Handover::stops(self);
    }

    fn finishes(&self, until: Instant) -> Option<String> {
        let name = self.wait_older(until)?;
        journal::warn!("{name} still drains, and is left behind");
        Some(name)
    }

    fn lets_go(&self) {
        Handover::lets_go(self);
    }

    fn has_ended(&self, is_clean: bool) {
        self.ends(if is_clean { Ended::Clean } else { Ended::Unclean });
    }
}

/// Where this process will answer, and whether that is the control socket of the old one.
fn control_socket(
    path: Option<PathBuf>,
    takeover: &mut Takeover,
) -> Result<(Option<ControlListener>, ControlSocket), Error> {
    Ok(match (path, takeover.control.take()) {
        (Some(path), Some((offered, file, socket))) if offered == path || is_same_file(&offered, &path) => {
            let adopted = ControlListener::adopt(path.clone(), file, socket);
            (Some(adopted.map_err(|error| cannot_answer(&path, error))?), ControlSocket::Taken)
        }
        (Some(path), _) => (Some(bind(path)?), ControlSocket::Left),
        (None, _) => (None, ControlSocket::Left),
    })
}

fn bind(path: PathBuf) -> Result<ControlListener, Error> {
    ControlListener::bind(path.clone()).map_err(|error| cannot_answer(&path, error))
}

fn cannot_answer(path: &Path, error: io::Error) -> Error {
    Error::io(format!("cannot answer at the control socket {}", path.display()), error)
}
