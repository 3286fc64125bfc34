//! Sockets and readiness: the only place that knows `mio`.

mod accept;
mod address;
mod age;
mod connection;
mod date;
pub(crate) mod deadlines;
mod event_loop;
mod file_identity;
mod given;
mod handshake;
mod holding;
pub(crate) mod inherited;
mod listener;
mod loop_context;
pub(crate) mod mailbox;
mod output;
mod sock_diag;
mod socket;
mod socket_writer;
pub(crate) mod table;
mod throughput;
mod unix_listener;

#[cfg(all(feature = "deploy", target_os = "linux"))]
pub(crate) use accept::AcceptFailure;
pub(crate) use address::check_address;
pub(crate) use event_loop::{DuplicateListener, EventLoop, LoopMessage, LoopReport, poll_and_mailbox};
#[cfg(all(feature = "deploy", target_os = "linux"))]
pub(crate) use file_identity::FileIdentity;
pub(crate) use given::{GivenListener, KnownBy, OfferedListener};
pub(crate) use holding::{Holder, Holding, Lent};
pub(crate) use listener::{ListenOptions, Listener, bind};
pub(crate) use loop_context::LoopContext;
pub(crate) use mailbox::Mailbox;
pub(crate) use socket::ListenSocket;
#[cfg(all(feature = "deploy", target_os = "linux"))]
pub(crate) use unix_listener::listen_privately;
