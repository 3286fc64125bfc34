//! The treatment of requests by a running server, over real sockets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod access_lines;
mod bounds;
mod connections;
mod contents;
mod listen_addresses;
mod max_age;
mod methods;
mod metrics;
mod middleware;
mod nested;
mod order;
mod readiness;
mod refusals;
mod route_timeout;
mod routes;
mod timeouts;
mod urgent;
