//! A service of two replicas behind a balancer, in networks of their own. The replicas are restarted one after the other
//! under load, and the balancer never sends a request twice.
//!
//! ```text
//!   this network                                        a network for each replica
//!   200 requests a second --> balancer on loopback --+-- veth --> softstop serve, 198.18.1.2
//!                                                    +-- veth --> softstop serve, 198.18.2.2
//! ```
//!
//! The balancers run with the files of `deploy/`. A test only shortens the interval of the health checks. The oracle is
//! simple: every request through the balancer is answered with status 200. A test without the lame duck shows that the
//! oracle sees failures.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod balancer;
#[allow(dead_code, unused_imports, reason = "softstop's program uses more of it")]
#[path = "../../src/cli/client/mod.rs"]
mod client;
mod handover;
mod load;
mod network;
#[path = "../support/program.rs"]
mod program;
mod replica;
mod rolling;
mod shipped;
#[path = "../support/mod.rs"]
mod support;
