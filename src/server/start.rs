//! A start: it takes the right to start, binds all addresses, and serves. Until it serves, it can be given up without a trace.

use std::{io, sync::Arc, time::Instant};

use super::{Server, ServerHandle};
use crate::{
    app::request::RequestFactory,
    config::{Bound, Config, ListenOn, Sharing},
    engine::{
        net::{GivenListener, Holder, ListenOptions, ListenSocket, Listener, bind, check_address, inherited},
        run::{Run, RunEvent},
    },
    error::Error,
    isolation::journal,
    stop::Context,
};

/// The right to start a server, with the listeners that the start has bound so far. Dropped before it serves, it gives both
/// back.
pub(crate) struct Start<'a> {
    server: &'a Server,
    pub(super) listeners: Vec<Listener>,
    outcome: StartOutcome,
}

/// What the drop of a [`Start`] has to tell the lifecycle.
#[derive(PartialEq, Eq)]
enum StartOutcome {
    Failed,
    Served,
}

fn no_address(name: &str) -> Error {
    Error::misuse(format!("{name}: has no address: call ServerBuilder::listen before build"))
}

fn cannot_listen(name: &str, address: &ListenOn, error: io::Error) -> Error {
    match error.kind() {
        // The text is no address: the program has to change, and another attempt does not help.
        io::ErrorKind::InvalidInput => Error::misuse(format!("{name}: cannot listen on {address}: {error}")),
        _ => Error::io(format!("{name}: cannot listen on {address}"), error),
    }
}

/// Reads the listen addresses of a server.
pub(super) fn check(config: &Config) -> Result<(), Error> {
    let Config { name, listen, .. } = config;
    if listen.is_empty() {
        return Err(no_address(name));
    }
    listen.iter().try_for_each(|address| match address {
        ListenOn::Address(text) => check_address(text).map_err(|error| cannot_listen(name, address, error)),
        ListenOn::Bound(_) => Ok(()),
    })
}

impl<'a> Start<'a> {
    /// Binds every address of the server that the last run has not kept, unless a listener among `given` has the address
    /// already. Clients that connect wait in the accept queue.
    pub(super) fn bind(server: &'a Server, given: &mut Vec<GivenListener>) -> Result<Start<'a>, Error> {
        let listeners = server.handle.lifecycle.begin_start()?;
        let mut start = Start { server, listeners, outcome: StartOutcome::Failed };
        let Config { name, listen, backlog, timeouts, .. } = &*server.handle.lifecycle.config;
        let options = ListenOptions { backlog: *backlog, keep_alive_probe: timeouts.keep_alive_probe };
        if listen.is_empty() {
            return Err(no_address(name));
        }
        inherited::check().map_err(|error| Error::misuse(format!("{name}: {error}")))?;
        for (index, address) in listen.iter().enumerate() {
            let is_kept = start.listeners.iter().any(|listener| listener.listen_index == index);
            if !is_kept {
                let bound = match address {
                    ListenOn::Address(address) => bind(address, index, options, given),
                    ListenOn::Bound(bound) => adopt(bound, index, options).map(|listener| vec![listener]),
                };
                start.listeners.extend(bound.map_err(|error| cannot_listen(name, address, error))?);
            }
        }
        start.listeners.sort_by_key(|listener| listener.listen_index);
        Ok(start)
    }

    /// Starts serving. The context of the run becomes a child of `parent`.
    pub(crate) fn serve(mut self, parent: Option<&Context>) -> Result<(), Error> {
        let Server { handle: ServerHandle { lifecycle }, router } = self.server;
        let requests =
            |hard: &Context| RequestFactory::new(Arc::clone(router), self.server.handle(), hard.clone());
        let run = Run::launch(&lifecycle.config, router, &mut self.listeners, parent, requests)?;
        let early_stop = lifecycle.has_started(&run);
        self.outcome = StartOutcome::Served;
        for listen in &lifecycle.config.listen {
            if let ListenOn::Bound(bound) = listen {
                bound.has_started();
            }
        }
        // Not earlier, because a reader of these lines may ask at once whether the server is ready.
        for address in &run.addresses {
            journal::info!("{}: listening on {address}", lifecycle.config.name);
        }
        run.announce(RunEvent::Started { at: Instant::now() });
        run.wake_loops();
        if let Some(policy) = early_stop {
            run.stop(&policy);
        }
        Ok(())
    }
}

/// A listener for this start from one that the program has bound.
fn adopt(bound: &Bound, listen_index: usize, options: ListenOptions) -> io::Result<Listener> {
    let origin = match bound.sharing {
        Sharing::Alone => Holder::Alone,
        Sharing::Shared => Holder::Shared,
    };
    Listener::adopt(ListenSocket::adopt(bound.duplicate()?)?, origin, listen_index, options)
}

impl Drop for Start<'_> {
    fn drop(&mut self) {
        if self.outcome == StartOutcome::Failed {
            self.server.handle.lifecycle.has_failed_to_start(std::mem::take(&mut self.listeners));
        }
    }
}
