//! A free port, which no other `softstop check` on this machine takes meanwhile.
//!
//! Between the choice of a port and the start of the server, and between two starts on one port, nobody listens there.
//! Several runs at once, as in CI, would now and then choose the same port, and judge each other's server. So a run holds
//! a name for its port: an abstract Unix socket, which the kernel removes with the process.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::{linux::net::SocketAddrExt, unix},
};

/// Ports below the range from which kernels choose (32768 and above), so that no connection takes one in between.
const PORTS: std::ops::Range<u16> = 15_000..32_000;
/// Free ports that are looked for.
const TRIES: usize = 200;

/// A port, held until the value is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) port: u16,
    _name: unix::net::UnixDatagram,
}

/// Chooses a port on which no process listens.
pub(crate) fn reserve(host: SocketAddr) -> io::Result<Reserved> {
    for _ in 0..TRIES {
        let port = fastrand::u16(PORTS);
        let Ok(name) = hold(port) else { continue };
        if TcpListener::bind(SocketAddr::new(host.ip(), port)).is_ok() {
            return Ok(Reserved { port, _name: name });
        }
    }
    Err(io::Error::other("no free port found"))
}

fn hold(port: u16) -> io::Result<unix::net::UnixDatagram> {
    let name = unix::net::SocketAddr::from_abstract_name(format!("softstop-check-{port}"))?;
    unix::net::UnixDatagram::bind_addr(&name)
}

#[cfg(test)]
mod tests {
    use super::{hold, reserve};

    #[test]
    fn a_port_is_held_by_one_run() {
        let reserved = reserve(([127, 0, 0, 1], 0).into()).unwrap();
        assert!(hold(reserved.port).is_err());
        let port = reserved.port;
        drop(reserved);
        assert!(hold(port).is_ok());
    }
}
