//! What a supervisor and a server tell each other: systemd, s6, and whatever else speaks their protocols.
//!
//! ```text
//!   environment ──> Supervisor::from_environment ──> attend(group)
//!                                                      │ everything serves:  READY=1, a line to the ready descriptor,
//!                                                      │                     the watchdog, if it is asked for
//!                                                      │ a stop has begun:   STOPPING=1, and each second what it waits for
//! ```
//!
//! - [`Supervisor`] does all of this for a [`Group`](crate::Group). The program `softstop serve` uses it.
//! - [`Notify`] sends the messages of sd_notify(3) one by one, for a program that wants to decide itself.
//! - [`ReadyDescriptor`] is the other protocol: one newline, as s6 wants it.
//! - [`environment`] says what child processes must not inherit.
//!
//! None of this runs on an event loop, and no stop waits for it: a supervisor that does not read cannot hold a stop.

mod notify;
mod ready_descriptor;
mod status;
mod supervisor;
mod watchdog;

pub use self::{notify::Notify, ready_descriptor::ReadyDescriptor, supervisor::Supervisor};

/// What child processes must not inherit from a process that a supervisor has started.
pub mod environment {
    pub use crate::environment::{for_other_child, for_replacement};
}
