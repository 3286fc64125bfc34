//! What serving costs: each workload is run against all servers in turn, round after round, so that whatever else the
//! machine does falls on all of them alike.
//!
//! A server is on one core and wrk on another, so a server has one event loop or one serving thread. Throughput is what
//! one wrk thread gets, and so is bounded by wrk as well; processor time per request is the server's own, from /proc,
//! and is what tells fast servers apart.

mod chart;
mod crowd;
mod glance;
mod idle;
mod interleave;
mod machine;
mod memory;
mod rounds;
mod scaling;
mod size;
mod statistics;
mod stopping;
mod usage;
mod workload;
mod wrk;

pub use self::{
    chart::draw,
    glance::{Line, glance},
    idle::raise_descriptor_limit,
    machine::describe_machine,
    memory::{Memory, memory},
    rounds::{Measured, rounds},
    scaling::{Active, Idle, active_connections, idle_connections},
    size::size_table,
    stopping::{Stopped, stops},
    workload::{WORKLOADS, Workload},
};

/// The server that the others are put beside.
pub const BASE: &str = "softstop-inline";
const POOL: &str = "softstop-pool";
/// No server, but what the best one could come to.
const BARE_LOOP: &str = "bare-loop";
/// The core that the server is on, and that of the load. (With one core only, taskset would refuse the second.)
const SERVER_CORE: usize = 0;

fn is_softstop(name: &str) -> bool {
    name.starts_with("softstop")
}

fn load_core() -> usize {
    usize::from(std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}
