//! What an orchestrator needs of the program: the admin server, the status of readiness checks, the age of connections, and the
//! files in `deploy/` that say how it is run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/program.rs"]
mod program;
#[path = "../support/mod.rs"]
mod support;

mod admin;
mod files;
