//! An HTTP/1.1 server that can be **stopped**: from a signal, from a handler, from another thread, as many times as you
//! like, without losing a request and without a single timed poll. No framework, no async runtime: a `mio` poll loop,
//! a `Waker`, a thread pool and a wait group, all of it meant to be read.
//!
//! ```
//! use softstop::{Request, Router, Server, StopPolicy, inline};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), softstop::Error> {
//! let server = Server::builder()
//!     .name("hello")
//!     .listen("127.0.0.1:0")
//!     .routes(
//!         Router::new()
//!             // On the event loop: the fastest way, must not block.
//!             .get("/", inline(|_: &Request| "Hello, world!"))
//!             // On the worker pool, where it may block; it ends early when its client goes, or the server stops.
//!             .get("/slow", |request: &Request| match request.context().sleep(Duration::from_secs(1)) {
//!                 Ok(()) => "done".to_owned(),
//!                 Err(cause) => format!("gave up: {cause}"),
//!             })
//!             // A handler may stop its own server: its response is still delivered.
//!             .post("/exit", |request: &Request| {
//!                 request.server().stop(StopPolicy::default());
//!                 "good bye"
//!             }),
//!     )
//!     .build();
//! server.start()?; // returns when it listens
//! let report = server.stop(StopPolicy::default()); // or: server.wait(), until somebody stops it
//! assert!(report.is_clean());
//! println!("{report}");
//! server.start()?; // again
//! # Ok(())
//! # }
//! ```
//!
//! # Two journeys
//!
//! A request: `net::listener` → `net::connection` → [`http`] (bytes in) → [`Router`] → [`Handler`], [`inline`] or on
//! the pool → [`http`] (bytes out) → `net::connection` → socket.
//!
//! A stop: a signal, a handler, a [`Handle`] or a [`Group`] → a timeline is set and the loops are woken → each loop
//! drains → the [`WaitGroup`] reaches zero → the threads are joined → [`StopReport`].
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod config;
mod error;
mod group;
mod handler;
pub mod http;
mod net;
mod pool;
mod request;
mod router;
mod run;
mod server;
mod stop;
mod sync;

pub use config::Timeouts;
pub use error::Error;
pub use group::{Group, GroupHandle, GroupReport, TaskOutcome, TaskReport};
pub use handler::{Handler, IntoRoute, Route, inline};
pub use http::{Body, IntoResponse, Limits, Method, Response, StatusCode, Version};
pub use request::Request;
pub use router::{RouteError, Router};
pub use server::{Builder, Handle, Server};
pub use stop::{
    Cause, CloseReason, Closes, Context, Guard, OnCancel, Phase, Requests, StopPolicy, StopReport, Straggler,
    Stuck, WaitGroup,
};
