//! Sockets and readiness: the only place that knows `mio`.

mod address;
mod age;
mod connection;
mod date;
pub(crate) mod deadlines;
mod event_loop;
mod handshake;
mod listener;
mod loop_context;
pub(crate) mod mailbox;
mod output;
mod sock_diag;
mod socket_writer;
pub(crate) mod table;
mod throughput;

pub(crate) use event_loop::{EventLoop, LoopMessage, LoopReport, poll_and_mailbox};
#[cfg(test)]
pub(crate) use listener::Holder;
pub(crate) use listener::{Listener, bind};
pub(crate) use loop_context::LoopContext;
pub(crate) use mailbox::Mailbox;
