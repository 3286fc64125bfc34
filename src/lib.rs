//! An HTTP/1.1 server that can be **stopped**: by a signal, by a handler or by another thread, as often as you like.
//! The server finishes the requests in flight within time limits that you set, and a report says what became of every
//! connection. No framework, no async runtime: a `mio` poll loop, a `Waker`, a thread pool and a wait group.
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
//!             // Runs on the event loop: the fastest way, but the handler must not block.
//!             .get("/", route(|_| "Hello, world!").inline())
//!             // Runs on the worker pool, where a handler may block. The context ends the sleep when the client goes
//!             // away, or when the stop has waited long enough. Then the client gets a 503.
//!             .get("/slow", |request: &Request| request.context().sleep(Duration::from_secs(1)).map(|()| "done"))
//!             // A handler may stop its own server. The client still gets the response.
//!             .post("/exit", |request: &Request| {
//!                 request.server().request_stop(StopPolicy::default());
//!                 "good bye"
//!             }),
//!     )
//!     .build();
//! server.start()?; // returns as soon as the server listens
//! let report = server.stop(StopPolicy::default()); // or server.wait(), until something else stops the server
//! assert!(report.is_clean());
//! println!("{report}");
//! server.start()?; // the server starts again
//! # Ok(())
//! # }
//! ```
//!
//! A plain closure names the type of its argument: `|request: &Request| ..`. In [`route`], it need not: `route(|request| ..)`.
//! A handler returns an owned value, for instance a `String`. [`IntoResponse`] lists what the compiler says otherwise.
//!
//! # The dependency
//!
//! ```toml
//! [dependencies]
//! softstop = { version = "0.1", default-features = false }
//! ```
//!
//! | feature | default | what it adds |
//! | --- | --- | --- |
//! | `cli` | yes | The program `softstop`. A library user turns it off, and then needs nine crates. |
//! | `deploy` | with `cli` | Being replaced without a gap, listeners of a supervisor, credentials of Unix clients, messages about a reload. |
//! | `serde` | with `cli` | `Serialize` for the reports and for the recording of an observer. |
//!
//! Linux is where softstop is tested. The minimum supported Rust version is 1.88.
//!
//! # Topics
//!
//! | topic | begin with |
//! | --- | --- |
//! | Routes: paths, methods, nested routers, fallbacks | [`Router`] |
//! | Handlers: what a function may take and return; on the pool, inline, streamed, with a time limit | [`route`], [`Handler`], [`IntoResponse`], [`routing`] |
//! | Requests: method, head, parameters, content, client, context, extensions | [`Request`], [`Method`], [`Peer`] |
//! | State that handlers share | an `Arc` in a closure, or [`patterns::Owner`] for state with one owner thread |
//! | Responses and contents: bytes, streams, readers, files, upgrades | [`Response`], [`StatusCode`], [`Body`], [`body`], [`http`] |
//! | Errors, and what is refused | [`Error`], [`ErrorKind`], [`group::GroupError`], [`Refused`] |
//! | Server-sent events | [`events`] |
//! | Wrappers around handlers, access log, responses to refused requests | [`middleware`], [`ServerBuilder::on_refusal`] |
//! | Limits and time-outs | [`Limits`], [`Timeouts`], [`ServerBuilder`], [`OnListenerFailure`] |
//! | Asking for a stop, from anywhere | [`ServerHandle::request_stop`], [`Server::stop`], [`StopPolicy`], [`Phase`] |
//! | What a stop means for a handler or a route | [`Context`], [`OnCancel`], [`Cause`], [`OnStop`] |
//! | Work that outlives its request | [`ServerHandle::detach`], [`WaitGroup`], [`WaitGuard`], [`patterns::JobQueue`] |
//! | Several servers, tasks and queues together; signals | [`Group`], [`group`], [`Signal`] |
//! | Being replaced without a gap (feature `deploy`) | `Group::control`, and the module `handover` |
//! | Queues, owners and subscribers that are drained | [`patterns`] |
//! | Readiness, for load balancers and orchestrators | [`ServerHandle::set_ready`], [`routing::readiness_route`], [`ServerBuilder::max_connection_age`] |
//! | Supervisors: readiness, reloads, the watchdog | [`deploy::Supervisor`] |
//! | Reports of a stop, and its progress | [`report`], [`GroupHandle::progress`], [`ServerHandle::progress`] |
//! | Metrics, observing, pictures of a stop | [`ServerHandle::metrics`], [`routing::metrics_route`], [`metrics`], [`observe`] |
//! | Testing: a real server on a free port | [`Server`]: `listen("127.0.0.1:0")`, then [`Server::addresses`] |
//!
//! # What a stop guarantees
//!
//! | | guaranteed | not guaranteed | your part |
//! | --- | --- | --- | --- |
//! | new clients | On Linux, a client whose connection was established before the listener refused is accepted and served. A later one is refused at once. | While the kernel uses SYN cookies, a half-open handshake may be reset. On other systems, closing the listener resets its accept queue. | Let a load balancer look elsewhere first: [`StopPolicy::lame_duck`]. |
//! | requests | A request that has arrived is answered, or the report names it. | A request that crosses the server's FIN on its way is lost, as with every server. | Leave [`StopPolicy::quiet`] long enough for your clients. |
//! | handlers | A handler is told: a hint when draining begins, then the end of its context with a [`Cause`]. | No thread can be ended from outside. A handler that ignores its context is named and left behind. | Use [`Request::context`] wherever a handler waits. |
//! | streams | A stream without a length is ended properly. | A response of a declared length that is not finished in time is cut off. | Stop sending when [`BodySender::context`](body::BodySender::context) ends. |
//! | time | [`Server::stop`] returns within the time of its policy, plus 50 ms, whatever the handlers do. | A machine that does not run the threads can add up to two seconds, a thread-local whose destructor blocks up to one. | Inline handlers, observers and callbacks must not block. |
//! | memory of what happened | The [report] counts every connection and every request once. | | Look at [`is_clean`](report::StopReport::is_clean). |
#![warn(clippy::print_stdout)]
// docs.rs marks every item with the feature that the item needs. Only a nightly compiler has this.
#![cfg_attr(docsrs, feature(doc_cfg), doc(auto_cfg(hide(loom))))]
#![cfg_attr(test, allow(clippy::unwrap_used))]
// What is dead in every build is found with the feature.
#![cfg_attr(
    not(all(feature = "deploy", target_os = "linux")),
    allow(dead_code, reason = "some parts of each layer are there for handovers alone")
)]

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
pub mod deploy;
#[cfg(not(loom))]
mod engine;
#[cfg(not(loom))]
mod environment;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
pub mod group;
#[cfg(all(feature = "deploy", target_os = "linux", not(loom)))]
pub mod handover;
#[cfg(not(loom))]
pub mod http;
#[cfg(all(feature = "internals", not(loom)))]
#[doc(hidden)]
pub mod internals;
#[cfg(not(loom))]
mod listen_address;
#[cfg(not(loom))]
pub mod metrics;
#[cfg(not(loom))]
pub mod observe;
#[cfg(not(loom))]
pub mod patterns;
#[cfg(not(loom))]
mod peer;
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
    app::response::Response,
    app::router::Router,
    body::Body,
    config::{BoundListener, OnListenerFailure, Timeouts},
    error::{Error, ErrorKind},
    group::{Group, GroupHandle},
    http::{Method, StatusCode, limits::Limits},
    listen_address::ListenAddress,
    peer::{Peer, PeerCredentials},
    refused::Refused,
    server::{Server, ServerBuilder, ServerHandle},
    stop::{OnStop, Phase, Readiness, Signal, StopPolicy},
};

/// Routes: a [`Route`](routing::Route) is a [`Handler`] together with how it is run. [`route()`] makes one of a closure.
#[cfg(not(loom))]
pub mod routing {
    pub use crate::app::{
        handler::{IntoRoute, Route},
        router::RouteError,
    };
    pub use crate::server::{MetricsRoute, ReadinessRoute, metrics_route, readiness_route};
}

/// The reports of a stop: what became of connections, requests, tasks and drains, and what was left behind. The progress: what
/// a stop that is under way waits for.
#[cfg(not(loom))]
pub mod report {
    pub use crate::{
        group::progress::GroupProgress,
        group::report::{DrainOutcome, DrainReport, GroupReport, TaskOutcome, TaskReport},
        stop::{
            CloseReason, Closes, ListenerEnd, Pending, Requests, ServerProgress, StopReport, Straggler, Stuck,
        },
    };
}

/// Holds the README, so that its code is compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
