//! Real clients, load generators and proxies against the real program, over loopback. They need programs that not
//! every machine has, so they only run when they are asked to: `.ci/run` installs the programs and asks.
//!
//! ```text
//!  curl, http.client, Node, ab, wrk, h2load ----------------------+
//!                                                                 +--> softstop serve
//!  curl, h2load --> nginx or HAProxy, which keep connections -----+
//! ```
//!
//! Each test ends with a stop of the program, and holds its report to what the client says it did: how many requests
//! over how many connections.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to panic")]

mod curl;
mod load;
mod peer;
#[path = "../support/program.rs"]
mod program;
mod proxies;
mod scripts;
#[path = "../support/mod.rs"]
mod support;
