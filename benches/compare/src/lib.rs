//! softstop beside its peers. The package has four programs:
//!
//! - `stops` stops each server under load, again and again, and counts the requests that its clients lose;
//! - `replace` replaces servers by new processes under load, and counts the same;
//! - `sweep` stops a replica behind a balancer, and shows how long a lame duck has to be;
//! - `compare` measures the cost of serving: throughput, latency, processor time, memory, and the time of a stop.
//!
//! Each server is a process of its own ([`process`]), built from a package below `peers/` ([`servers`]).
//! `peers/answers` defines the answers of all servers.

#![forbid(unsafe_code)]

pub mod measure;
pub mod path;
pub mod process;
pub mod replace;
pub mod servers;
pub mod stops;
pub mod sweep;
pub mod table;
pub mod user;
