//! The HTTP core against its rules: each one a row of a table, and each row played however a network may cut it.
#![allow(clippy::unwrap_used, reason = "a test that meets the unexpected is to panic")]

mod body;
mod conn;
mod head;
mod play;
mod properties;
mod response;
