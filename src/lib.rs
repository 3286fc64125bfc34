//! An HTTP/1.1 server that can be **stopped**: from a signal, from a handler, from another thread, as many times as you
//! like, without losing a request and without a single timed poll. No framework, no async runtime: a `mio` poll loop,
//! a `Waker`, a thread pool and a wait group, all of it meant to be read.
//!
//! ```
//! use softstop::{Request, Router, Server, StopPolicy, route};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), softstop::Error> {
//! let server = Server::builder()
//!     .name("hello")
//!     .listen("127.0.0.1:0")
//!     .routes(
//!         Router::new()
//!             // On the event loop: the fastest way, must not block.
//!             .get("/", route(|_| "Hello, world!").inline())
//!             // On the worker pool, where it may block; it ends early when its client goes, or the server stops.
//!             .get("/slow", |request: &Request| match request.context().sleep(Duration::from_secs(1)) {
//!                 Ok(()) => "done".to_owned(),
//!                 Err(cause) => format!("gave up: {cause}"),
//!             })
//!             // A handler may stop its own server: its response is still delivered.
//!             .post("/exit", |request: &Request| {
//!                 request.server().request_stop(StopPolicy::default());
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
//! A request: `net::listener` → `net::connection` → [`http`] (bytes in) → [`Router`] → [`Handler`], inline or on
//! the pool → [`http`] (bytes out) → `net::connection` → socket.
//!
//! A stop: a signal, a handler, a [`ServerHandle`] or a [`Group`] → a timeline is set and the loops are woken → each loop
//! drains → the [`WaitGroup`] reaches zero → the threads are joined → [`StopReport`](report::StopReport).
#![warn(clippy::print_stdout)]
// docs.rs marks every item with the feature that the item needs. Only a nightly compiler has this.
#![cfg_attr(docsrs, feature(doc_cfg), doc(auto_cfg(hide(loom))))]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(not(unix))]
compile_error!("softstop needs a Unix system: it is tested on Linux, and compiled for FreeBSD and macOS");

// Under loom only what it models is built, and what that needs: loom's primitives work nowhere else.
#[cfg_attr(loom, allow(dead_code, unused_imports, unused_macros, reason = "the models use a part of it"))]
mod isolation;
mod stop;
mod sync;

pub use stop::{Cause, Context, OnCancel, WaitGroup, WaitGuard};

// Of a streamed body, loom models the part where the senders and the loop meet.
#[cfg(all(loom, test))]
mod body {
    mod stream {
        #[allow(dead_code, reason = "the models use a part of it")]
        mod feed;
    }
}

#[cfg(not(loom))]
mod app;
#[cfg(not(loom))]
pub mod body;
#[cfg(not(loom))]
mod config;
#[cfg(not(loom))]
mod engine;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
pub mod group;
#[cfg(not(loom))]
pub mod http;
#[cfg(all(feature = "internals", not(loom)))]
#[doc(hidden)]
pub mod internals;
#[cfg(not(loom))]
pub mod metrics;
#[cfg(not(loom))]
pub mod observe;
#[cfg(not(loom))]
pub mod patterns;
#[cfg(not(loom))]
mod refused;
#[cfg(not(loom))]
mod rounded;
#[cfg(all(feature = "serde", not(loom)))]
mod serialize;
#[cfg(not(loom))]
mod server;

#[cfg(not(loom))]
pub use self::{
    app::events,
    app::handler::{Handler, route},
    app::into_response::IntoResponse,
    app::middleware,
    app::request::Request,
    app::response::{InvalidHeader, Response},
    app::router::Router,
    body::Body,
    config::{OnListenerFailure, Timeouts},
    error::{Error, ErrorKind},
    group::{Group, GroupHandle},
    http::{Limits, Method, StatusCode},
    refused::Refused,
    server::{Server, ServerBuilder, ServerHandle},
    stop::{OnStop, Phase, Signal, StopPolicy},
};

/// What runs for a request: a [`Handler`], and the [`Route`](routing::Route) that says how it is run.
#[cfg(not(loom))]
pub mod routing {
    pub use crate::app::{
        handler::{IntoRoute, Route},
        router::RouteError,
    };
    pub use crate::server::{MetricsRoute, metrics_route};
}

/// What a stop says about itself once it is over: what became of connections, requests, tasks and drains, and what was
/// left behind.
#[cfg(not(loom))]
pub mod report {
    pub use crate::{
        group::report::{DrainOutcome, DrainReport, GroupReport, TaskOutcome, TaskReport},
        stop::{CloseReason, Closes, ListenerEnd, Requests, StopReport, Straggler, Stuck},
    };
}

/// The README, so that its code is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
