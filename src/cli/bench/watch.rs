//! Measures connections while they are accepted. Both sides are in one process and share one clock, so a time noted by the
//! client can be compared with a time noted by the server.
//!
//! The client notes when its connection was due, under its own local port, and connects. The server sees this port as that of
//! the peer, and finds the note. A port belongs to one connection until the connection is closed.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};

use super::distribution::Distribution;

/// The notes of both sides for one strategy.
pub(crate) struct Watch {
    epoch: Instant,
    /// For each port, when the connection from this port was due, in nanoseconds after the epoch. 0 means that there is no
    /// note. The table takes half a megabyte.
    due: Box<[AtomicU64]>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The time from the moment the connection was due to the return of `accept`.
    pub(crate) connect_to_accept: Distribution,
    /// The time from the return of `accept` to the first read of bytes.
    pub(crate) accept_to_first_byte: Distribution,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch {
            epoch: Instant::now(),
            due: (0..=u16::MAX).map(|_| AtomicU64::new(0)).collect(),
            seen: Mutex::new(Seen {
                connect_to_accept: Distribution::new(),
                accept_to_first_byte: Distribution::new(),
            }),
        }
    }

    /// Begins to connect to a loopback address, and notes when the connection was due.
    pub(crate) fn connect(&self, address: SocketAddr, due: Instant) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        // The port must be known before `connect`, because on the loopback the server may accept before `connect` returns.
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        let stream = std::net::TcpStream::from(socket);
        let since_epoch = due.saturating_duration_since(self.epoch).as_nanos();
        let port = usize::from(stream.local_addr()?.port());
        self.due[port].store(u64::try_from(since_epoch).unwrap_or(u64::MAX).max(1), Ordering::Release);
        let socket = Socket::from(stream);
        match socket.connect(&address.into()) {
            // The kernel continues the handshake.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock && !is_in_progress(&error) => Err(error),
            _ => Ok(TcpStream::from_std(socket.into())),
        }
    }

    /// The strategy calls this as soon as `accept` has returned.
    pub(crate) fn accepted(&self, peer: SocketAddr) -> Visit {
        let at = Instant::now();
        let due = self.due[usize::from(peer.port())].load(Ordering::Acquire);
        Visit { due: (due > 0).then(|| self.epoch + Duration::from_nanos(due)), at }
    }

    /// The strategy calls this as soon as it has read the first bytes.
    pub(crate) fn first_byte(&self, visit: &Visit) {
        let at = Instant::now();
        let Some(due) = visit.due else { return };
        let mut seen = self.lock();
        seen.connect_to_accept.record(visit.at.saturating_duration_since(due));
        seen.accept_to_first_byte.record(at - visit.at);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// All connections share one lock. Taking the lock costs some 50 ns, and a connection costs a thousand times as much.
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The times of one accepted connection: when the client noted that it was due, if it did, and when it was accepted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visit {
    due: Option<Instant>,
    at: Instant,
}

/// Whether the error is EINPROGRESS. `std` has no stable kind for this error.
fn is_in_progress(error: &io::Error) -> bool {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const EINPROGRESS: i32 = 115;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const EINPROGRESS: i32 = 36;
    error.raw_os_error() == Some(EINPROGRESS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_server_finds_when_a_connection_was_due() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let watch = Watch::new();
        let late = Duration::from_millis(3);
        let due = Instant::now();
        let _client = watch.connect(listener.local_addr().unwrap(), due + late).unwrap();
        let (_stream, peer) = listener.accept().unwrap();
        let visit = watch.accepted(peer);
        assert_eq!(visit.due, Some(due + late));
        watch.first_byte(&visit);
        let _stranger = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let visit = watch.accepted(listener.accept().unwrap().1);
        assert_eq!(visit.due, None);
        watch.first_byte(&visit);
        let seen = watch.seen();
        assert_eq!((seen.connect_to_accept.count(), seen.accept_to_first_byte.count()), (1, 1));
    }
}
