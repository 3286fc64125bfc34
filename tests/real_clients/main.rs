//! Real clients, load generators and proxies against the real program, over loopback. The tests need programs that not
//! every machine has, so they run only on request. `.ci/run` installs the programs and runs the tests.
//!
//! ```text
//!  curl, http.client, Node, ab, wrk, h2load ----------------------+
//!                                                                 +--> softstop serve
//!  curl, h2load --> nginx or HAProxy, which keep connections -----+
//! ```
//!
//! Each test ends with a stop of the program. The test compares the program's report with the client's: how many
//! requests came over how many connections.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod curl;
mod load;
mod peer;
#[path = "../support/program.rs"]
mod program;
mod proxies;
mod scripts;
#[path = "../support/mod.rs"]
mod support;
mod unix;
