//! Whether the cost of a connection stays the same as the number of connections grows: processor time of [active]
//! connections, memory and closing time of [idle] ones.
//!
//! Each figure comes from a process of its own, so that sixty-four connections do not pay for what ten thousand have
//! left behind. The numbers of connections are interleaved like servers, because these numbers are compared.

mod active;
mod idle;

pub use self::{
    active::{Active, active_connections},
    idle::{Idle, idle_connections},
};
use super::idle::is_room_for;
use crate::servers::Server;

/// Pairs each of `servers` that has one of these names with each of these numbers of connections, as far as there are
/// enough descriptors.
fn with_each<T>(
    servers: &[&'static Server],
    names: &[&str],
    connections: &[usize],
    new: impl Fn(&'static Server, usize) -> T,
) -> Vec<T> {
    let mut all = Vec::new();
    for name in names {
        let Some(server) = servers.iter().find(|server| server.name == *name) else { continue };
        let possible = connections.iter().filter(|&&number| is_room_for(number));
        all.extend(possible.map(|&number| new(server, number)));
    }
    all
}
