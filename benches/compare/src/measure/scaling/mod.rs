//! Whether what a connection costs stays the same, however many there are: processor time of [active] ones, memory and
//! closing of [idle] ones.
//!
//! Every figure is of a process of its own: what ten thousand connections leave behind is nothing that sixty-four should
//! pay for. Numbers of connections are interleaved like servers, since it is they that are compared.

mod active;
mod idle;

pub use self::{
    active::{Active, active_connections},
    idle::{Idle, idle_connections},
};
use super::idle::is_room_for;
use crate::servers::Server;

/// Those of `servers` that have one of these names, with each of these numbers of connections that there are descriptors
/// for.
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
