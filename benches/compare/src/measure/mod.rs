//! The cost of serving. Each round runs a workload against every server in turn, so that other work on the machine
//! affects all servers alike.
//!
//! The server has one core and wrk has another, so a server has one event loop or one serving thread. Throughput is the
//! rate of one wrk thread, so wrk bounds it as well. Processor time per request is the server's own, from /proc. This
//! figure separates fast servers.

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
    machine::{describe_machine, first_line},
    memory::{Memory, memory},
    rounds::{Measured, rounds},
    scaling::{Active, Idle, active_connections, idle_connections},
    size::size_table,
    stopping::{Stopped, stops},
    workload::{WORKLOADS, Workload},
};

/// The server with which the others are compared.
pub const BASE: &str = "softstop-inline";
const POOL: &str = "softstop-pool";
/// The bare loop is no server. The loop shows the bound for the best server.
const BARE_LOOP: &str = "bare-loop";
/// The core of the server. The load has another core, unless the machine has one core only: taskset would refuse a
/// second.
const SERVER_CORE: usize = 0;

fn is_softstop(name: &str) -> bool {
    name.starts_with("softstop")
}

fn load_core() -> usize {
    usize::from(std::thread::available_parallelism().is_ok_and(|cores| cores.get() > 1))
}
