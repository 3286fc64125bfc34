//! Server-sent events: the encoding, checked with a parser written from the standard, and a hub with real clients.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod encoding;
mod hub;
mod parser;
