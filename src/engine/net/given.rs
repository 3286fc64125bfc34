//! Listeners that another process has handed over. A start uses such a listener in place of binding its address.

use std::{io, net::SocketAddr, os::fd::OwnedFd};

use socket2::SockRef;

use super::{
    address::{Meaning, resolve},
    file_identity::FileIdentity,
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
    /// The file of a Unix socket that has one, unless the file belongs to others.
    pub(crate) file: Option<FileIdentity>,
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
    file: Option<FileIdentity>,
}

/// What tells which server of the new process a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KnownBy {
    /// The address: one server at most listens on it.
    Address,
    /// The listen address as it was written: a supervisor has bound the listener. Several servers may write the same.
    Spec,
    /// The server alone, because the system has chosen the port.
    Server,
}

impl GivenListener {
    /// `listen_index`, `spec` and `file` are those of the [`OfferedListener`].
    ///
    /// # Errors
    ///
    /// If the descriptor is no listening TCP or Unix socket.
    pub(crate) fn new(
        listen_index: usize,
        spec: String,
        descriptor: OwnedFd,
        file: Option<FileIdentity>,
    ) -> io::Result<GivenListener> {
        let socket = ListenSocket::adopt(descriptor)?;
        // A socket that has a path was bound under another one.
        let address = match socket.is_unix().then(|| resolve(&spec)) {
            Some(Ok(Meaning::Unix(meaning))) => meaning.address()?,
            _ => socket.address()?,
        };
        Ok(GivenListener { listen_index, spec, socket, address, file })
    }

    /// The address that it listens on.
    pub(crate) fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The listen address, as the user of the other process wrote it.
    #[cfg(test)]
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

    /// A listener among `given` because of which `address` cannot be bound: a wildcard address and an address of one interface
    /// exclude each other.
    pub(super) fn overlapping<'a>(
        given: &'a [GivenListener],
        address: &SocketAddr,
    ) -> Option<&'a GivenListener> {
        let overlaps = |other: SocketAddr| {
            other.is_ipv4() == address.is_ipv4()
                && other.port() == address.port()
                && (other.ip().is_unspecified() || address.ip().is_unspecified())
        };
        given.iter().find(|listener| listener.address.socket_addr().is_some_and(overlaps))
    }

    /// What tells which server the listener is for.
    pub(crate) fn known_by(&self) -> KnownBy {
        if Wanted::parse(&self.spec).is_some() {
            KnownBy::Spec
        } else if self.spec.ends_with(":0") {
            KnownBy::Server
        } else {
            KnownBy::Address
        }
    }

    fn into_listener(self, listen_index: usize, options: ListenOptions) -> io::Result<Listener> {
        // What the first process has inherited belongs to its supervisor for ever.
        let origin = if self.known_by() == KnownBy::Spec { Holder::Shared } else { Holder::Alone };
        let mut listener = Listener::adopt(self.socket, origin, listen_index, options)?;
        // The other process has its descriptor until it says otherwise.
        listener.holding.lend(Lent::Yes);
        listener.address = self.address;
        if origin == Holder::Alone {
            // A second call changes the length of the accept queue and nothing else.
            SockRef::from(&listener.socket).listen(options.backlog)?;
        }
        if let (Some(path), Some(file)) = (listener.address.path(), self.file) {
            listener.file = Some(SocketFile::given(path.into(), file, listener.holding.clone()));
        }
        Ok(listener)
    }
}
