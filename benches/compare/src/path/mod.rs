//! A path with latency between clients and a server, on one machine: two network namespaces and a relay between them.
//!
//! ```text
//!   client namespace                   relay                     server namespace
//!   198.18.0.1, fd53::1   TUN <--> delay, jitter, loss <--> TUN   198.18.0.2, fd53::2
//! ```
//!
//! The namespaces have no names and the devices are not persistent. The kernel therefore removes both when the process
//! ends, even after a kill. Many paths can exist side by side, because they share nothing.

mod conditions;
mod namespace;
mod packet;
mod ports;
mod relay;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

pub use self::{
    conditions::Conditions,
    namespace::Namespace,
    ports::{Ports, Silence},
    relay::{Counts, Direction},
};
use self::{namespace::Device, relay::Relay};

/// Addresses from the block that RFC 2544 reserves for benchmarks of networks.
const CLIENT: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 18, 0, 1), Ipv6Addr::new(0xfd53, 0, 0, 0, 0, 0, 0, 1));
const SERVER: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(198, 18, 0, 2), Ipv6Addr::new(0xfd53, 0, 0, 0, 0, 0, 0, 2));

/// Which version of IP the clients use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// Two namespaces and the relay between them.
#[derive(Debug)]
pub struct Path {
    conditions: Conditions,
    client: Namespace,
    server: Namespace,
    ports: Arc<Ports>,
    relay: Relay,
}

impl Path {
    /// Makes the namespaces, a TUN device in each, and the threads of the relay. `seed` decides which packets are lost.
    ///
    /// # Errors
    ///
    /// If the process may not make namespaces or TUN devices (it needs root), or `ip` or `unshare` is not installed.
    pub fn make(conditions: Conditions, seed: u64) -> io::Result<Path> {
        let (client, server) = (Namespace::make()?, Namespace::make()?);
        let near = Device::make(&client, CLIENT)?;
        let far = Device::make(&server, SERVER)?;
        let ports = Arc::new(Ports::default());
        let relay = Relay::start(near, far, conditions, seed, &ports)?;
        Ok(Path { conditions, client, server, ports, relay })
    }

    #[must_use]
    pub fn conditions(&self) -> Conditions {
        self.conditions
    }

    /// The address of the server's end.
    #[must_use]
    pub fn server_address(&self, family: Family) -> IpAddr {
        match family {
            Family::V4 => SERVER.0.into(),
            Family::V6 => SERVER.1.into(),
        }
    }

    /// The address of the clients' end, of the same family as `server`.
    #[must_use]
    pub fn client_address(&self, server: SocketAddr) -> IpAddr {
        match server {
            SocketAddr::V4(_) => CLIENT.0.into(),
            SocketAddr::V6(_) => CLIENT.1.into(),
        }
    }

    /// The namespace of the clients.
    #[must_use]
    pub fn client(&self) -> &Namespace {
        &self.client
    }

    /// The namespace of the server.
    #[must_use]
    pub fn server(&self) -> &Namespace {
        &self.server
    }

    /// The client ports whose packets the relay drops.
    #[must_use]
    pub fn ports(&self) -> &Arc<Ports> {
        &self.ports
    }

    /// The counts of packets so far, towards the server and towards the client.
    ///
    /// # Errors
    ///
    /// If the kernel does not report how many packets it dropped before the relay could read them.
    pub fn counts(&self) -> io::Result<[Counts; 2]> {
        let mut counts = self.relay.counts();
        for (counts, namespace) in counts.iter_mut().zip([&self.client, &self.server]) {
            counts.overflowed += namespace.within(namespace::dropped_by_kernel)??;
        }
        Ok(counts)
    }
}

#[cfg(test)]
mod tests;
