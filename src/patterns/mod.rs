//! Things that servers hand work on to, each of which stops correctly by itself: background jobs ([`JobQueue`]), state that
//! one thread owns ([`Owner`]), subscribers ([`Bus`]).
//!
//! ```text
//!   handler ── try_submit ──> JobQueue ──> workers          at a stop: unfinished items are given back
//!   handler ── call ────────> Owner ─────> its one thread   at a stop: calls run or are dropped, the state is returned
//!   handler ── publish ─────> Bus ───────> subscribers      at a stop: waits until everything is acknowledged
//! ```
//!
//! They have in common:
//! - Everything is bounded. Callers never wait, except in [`Owner::call`], which waits within its time limit. What is not
//!   taken is given back as [`Refused`](crate::Refused).
//! - A stop has a deadline and keeps it.
//! - Nothing is lost silently: it is counted, and a hook or the log says so.
//! - Each is a [`Drain`](crate::group::Drain), to be drained after the servers that feed it, and is shared in an
//!   [`Arc`](std::sync::Arc).
//!
//! They are in memory, and end with the process. If items must outlive it, or if several machines work on them, use a
//! message broker: [`examples/more_machines`](https://github.com/softstop/softstop/tree/main/examples/more_machines) takes
//! jobs from NATS JetStream, does them on a [`JobQueue`], and gives back at a stop what it has not finished. For everything
//! else the queue in memory is the default, because it needs no second server.
//!
//! They are built on the crate's public parts, [`Context`](crate::Context) and [`WaitGroup`](crate::WaitGroup), and on
//! crossbeam's channels.

mod bus;
mod job_queue;
mod owner;
mod worker_queue;

pub use self::{
    bus::{Bus, Delivery, Published, ReceiveError, Subscription},
    job_queue::{ItemFate, JobMetrics, JobQueue, JobQueueBuilder, Unfinished},
    owner::{CallError, Owner, OwnerBuilder, OwnerMetrics, WaitingCalls},
};
