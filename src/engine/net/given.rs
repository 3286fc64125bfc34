//! Listeners that another process has handed over. A start uses such a listener in place of binding its address.

use std::{io, os::fd::OwnedFd};

use super::{
    address::{Meaning, resolve},
    holding::{Holder, Holding, Lent},
    inherited::Wanted,
    listener::{ListenOptions, Listener},
    socket::ListenSocket,
    unix_listener::SocketFile,
};
use crate::listen_address::ListenAddress;

/// A listener of a running server, for another process.
#[derive(Debug)]
pub(crate) struct OfferedListener {
    /// The index of its listen address in the configuration. The listeners of one listen address belong together.
    pub(crate) listen_index: usize,
    /// The listen address, as the user wrote it.
    pub(crate) spec: String,
    pub(crate) address: ListenAddress,
    /// A descriptor of its own. Drop it when it has been sent, because the listener is open as long as it is.
    pub(crate) descriptor: OwnedFd,
    /// To be lent before the descriptor is sent.
    pub(crate) holding: Holding,
}

/// A listener that another process has handed over.
#[derive(Debug)]
pub(crate) struct GivenListener {
    /// As in the [`OfferedListener`] of the other process.
    listen_index: usize,
    spec: String,
    socket: ListenSocket,
    address: ListenAddress,
}

impl GivenListener {
    /// `listen_index` and `spec` are those of the [`OfferedListener`].
    ///
    /// # Errors
    ///
    /// If the descriptor is no listening TCP or Unix socket.
    pub(crate) fn new(listen_index: usize, spec: String, descriptor: OwnedFd) -> io::Result<GivenListener> {
        let socket = ListenSocket::adopt(descriptor)?;
        // A socket that has a path was bound under another one.
        let address = match socket.is_unix().then(|| resolve(&spec)) {
            Some(Ok(Meaning::Unix(meaning))) => meaning.address()?,
            _ => socket.address()?,
        };
        Ok(GivenListener { listen_index, spec, socket, address })
    }

    /// The address that it listens on.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The listen address, as the user of the other process wrote it.
    pub(crate) fn spec(&self) -> &str {
        &self.spec
    }

    /// Takes the listener that listens on `address` out of `given`.
    pub(super) fn take(
        given: &mut Vec<GivenListener>,
        address: &ListenAddress,
        listen_index: usize,
        options: ListenOptions,
    ) -> io::Result<Option<Listener>> {
        let Some(position) = given.iter().position(|listener| listener.address == *address) else {
            return Ok(None);
        };
        given.remove(position).into_listener(listen_index, options).map(Some)
    }

    /// Takes all listeners of one listen address that was written in this way. If it was written several times, takes those of
    /// the first.
    pub(super) fn take_group(
        given: &mut Vec<GivenListener>,
        spec: &str,
        listen_index: usize,
        options: ListenOptions,
    ) -> io::Result<Vec<Listener>> {
        let Some(first) = given.iter().find(|listener| listener.spec == spec) else { return Ok(Vec::new()) };
        let group = first.listen_index;
        let of_group = |listener: &mut GivenListener| listener.listen_index == group && listener.spec == spec;
        given.extract_if(.., of_group).map(|listener| listener.into_listener(listen_index, options)).collect()
    }

    fn into_listener(self, listen_index: usize, options: ListenOptions) -> io::Result<Listener> {
        // What the first process has inherited belongs to its supervisor for ever.
        let origin = if Wanted::parse(&self.spec).is_some() { Holder::Shared } else { Holder::Alone };
        let mut listener = Listener::adopt(self.socket, origin, listen_index, options)?;
        // The other process has its descriptor until it says otherwise.
        listener.holding.lend(Lent::Yes);
        listener.address = self.address;
        let path = listener.address.path();
        listener.file = path.and_then(|path| SocketFile::of(path.into(), listener.holding.clone()));
        Ok(listener)
    }
}
