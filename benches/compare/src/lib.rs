//! softstop beside its peers. Two programs are made of this:
//!
//! - `stops` stops each server under load, again and again, and counts what its clients lose;
//! - `compare` measures what serving costs: throughput, latency, processor time, memory, and what a stop takes.
//!
//! Servers are processes of their own ([`process`]), built from the packages below `peers/` ([`servers`]). What all of
//! them answer is in `peers/answers`.

#![forbid(unsafe_code)]

pub mod measure;
pub mod path;
pub mod process;
pub mod servers;
pub mod stops;
pub mod table;
pub mod user;
