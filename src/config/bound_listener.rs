//! Listeners that the program has bound itself: what [`ServerBuilder::listener`](crate::ServerBuilder::listener) takes.

use std::{
    fmt, io,
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixListener},
    sync::{Arc, Mutex},
};

use crate::sync::lock;

/// A listening socket that the program has bound itself, or has got from elsewhere.
///
/// ```
/// use std::net::TcpListener;
/// use softstop::{BoundListener, Router, Server, StopPolicy, report::ListenerEnd};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mine = TcpListener::bind("127.0.0.1:0")?;
/// let address = mine.local_addr()?;
/// // Another process, or another part of this one, accepts from the socket, too.
/// let shared = BoundListener::from(mine).shared();
/// let server = Server::builder().listener(shared).routes(Router::new()).build();
/// server.start()?;
/// assert_eq!(server.socket_addrs(), [address]);
/// assert_eq!(server.stop(StopPolicy::default()).listener, Some(ListenerEnd::Left));
/// # Ok(())
/// # }
/// ```
///
/// Guaranteed:
///
/// - A listener of the server's own (the default) ends at a stop as one that the server has bound: it refuses new clients,
///   serves those that wait, and is closed. [`StopPolicy::keep_listener`](crate::StopPolicy::keep_listener) keeps it open for
///   the next start.
/// - A [shared](BoundListener::shared) one is left at a stop as it is. The next start uses it again. It is open as long as the
///   [`Server`](crate::Server) lives.
/// - The file of a Unix-domain listener is not removed, because the program has made it.
///
/// Not guaranteed: options of the socket, such as the length of its accept queue, are the program's choice, except those under
/// "your part". A server that is replaced does not hand the listener over, because only the program knows what it is.
///
/// Your part: the server makes the socket non-blocking, for everybody who holds it. A listener of the server's own gets
/// `TCP_NODELAY` and the keep-alive probes of [`Timeouts`](crate::Timeouts). A shared one keeps its options, and the server sets
/// them on each connection.
pub struct BoundListener {
    descriptor: OwnedFd,
    sharing: Sharing,
}

/// Who uses the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// The server that it is given to.
    Alone,
    /// Others, too.
    Shared,
}

impl BoundListener {
    /// Says that others accept from the socket, too, or will do so after this server: a stop leaves the listener as it is.
    /// Without this call, a stop would make the kernel refuse their clients.
    #[must_use]
    pub fn shared(mut self) -> BoundListener {
        self.sharing = Sharing::Shared;
        self
    }
}

impl From<TcpListener> for BoundListener {
    fn from(listener: TcpListener) -> BoundListener {
        OwnedFd::from(listener).into()
    }
}

impl From<UnixListener> for BoundListener {
    fn from(listener: UnixListener) -> BoundListener {
        OwnedFd::from(listener).into()
    }
}

/// For descriptors that come from elsewhere. The start of the server fails if the descriptor is no listening TCP or Unix socket.
impl From<OwnedFd> for BoundListener {
    fn from(descriptor: OwnedFd) -> BoundListener {
        BoundListener { descriptor, sharing: Sharing::Alone }
    }
}

impl fmt::Debug for BoundListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundListener")
            .field("descriptor", &self.descriptor)
            .field("shared", &(self.sharing == Sharing::Shared))
            .finish()
    }
}

/// Where a server listens.
#[derive(Debug, Clone)]
pub(crate) enum ListenOn {
    /// What the user wrote.
    Address(String),
    Bound(Arc<Bound>),
}

/// A listener that a server was given.
#[derive(Debug)]
pub(crate) struct Bound {
    /// `None` when a start has succeeded with a listener of the server's own: after that, the run has the listener.
    descriptor: Mutex<Option<OwnedFd>>,
    pub(crate) sharing: Sharing,
}

impl Bound {
    /// A descriptor for a start. A start that fails has lost nothing.
    pub(crate) fn duplicate(&self) -> io::Result<OwnedFd> {
        match &*lock(&self.descriptor) {
            Some(descriptor) => descriptor.try_clone(),
            None => {
                let advice = "a stop has closed it: keep it with StopPolicy::keep_listener, or share it with BoundListener::shared";
                Err(io::Error::new(io::ErrorKind::InvalidInput, advice))
            }
        }
    }

    /// The start that has duplicated it has succeeded.
    pub(crate) fn has_started(&self) {
        if self.sharing == Sharing::Alone {
            drop(lock(&self.descriptor).take());
        }
    }
}

impl From<BoundListener> for ListenOn {
    fn from(listener: BoundListener) -> ListenOn {
        let BoundListener { descriptor, sharing } = listener;
        ListenOn::Bound(Arc::new(Bound { descriptor: Mutex::new(Some(descriptor)), sharing }))
    }
}

impl fmt::Display for ListenOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenOn::Address(address) => f.write_str(address),
            ListenOn::Bound(_) => f.write_str("the given listener"),
        }
    }
}
