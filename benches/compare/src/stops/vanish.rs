//! How a client vanishes. Over a path the relay forwards nothing of its port any more: the server hears nothing, not
//! even a reset. On loopback nothing can be held back, so the client resets its connection.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{Domain, SockAddr, Socket, Type};

use super::{Load, client::Connection};
use crate::path::Silence;

/// Silences the client. The client keeps its socket until the server has ended.
pub(super) fn vanish(connection: Connection, load: &Load<'_>) {
    match load.path {
        Some(path) => {
            path.ports().silence(connection.local_port(), Silence::Now);
            load.over.wait();
        }
        None => connection.reset(),
    }
}

/// Sends a SYN and vanishes. The socket has to be kept until the server has ended, so that nobody else uses its port.
///
/// # Errors
///
/// If there is no path, or no port is left.
pub(super) fn half_open(load: &Load<'_>) -> io::Result<Socket> {
    let path = load.path.ok_or_else(|| io::Error::other("half-open handshakes need a path"))?;
    let socket = Socket::new(Domain::for_address(load.address), Type::STREAM, None)?;
    let any = SocketAddr::new(path.client_address(load.address), 0);
    socket.bind(&SockAddr::from(any))?;
    let port = socket.local_addr()?.as_socket().map_or(0, |address| address.port());
    path.ports().silence(port, Silence::AfterSyn);
    socket.set_nonblocking(true)?;
    // The connect is under way, and will not complete.
    let _ = socket.connect(&load.address.into());
    Ok(socket)
}

/// How long a request for a slow answer is left with its handler before the client looks whether it is to vanish.
pub(super) fn with_handler(load: &Load<'_>) -> Duration {
    load.path.map_or(Duration::ZERO, |path| path.conditions().delay) + Duration::from_millis(30)
}
