//! The effects of a stop on requests in flight, late requests, requests that never end, and the callers that ask for
//! the stop.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod accept_queue;
mod asking;
mod cut_off;
mod detached;
mod finishing;
mod from_a_drop;
mod from_handlers;
mod full_queue;
mod half_open;
mod hard;
mod in_chunks;
mod keeping_the_listener;
mod last_moment;
mod last_requests;
mod lingering;
mod listener_destroyed;
mod on_stop;
#[cfg(target_os = "linux")]
mod sandbox;
mod unprivileged;
mod user_code;
mod without_descriptors;
