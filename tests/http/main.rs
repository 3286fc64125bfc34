//! Tests the HTTP core against its rules. Each rule is a row of a table. Each row is played in every way in which a
//! network may cut it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod body;
mod conn;
mod head;
mod play;
mod properties;
mod response;
