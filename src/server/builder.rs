//! How a program configures a server. The defaults, and the reason for each, are in [`config`](crate::config).

use std::{sync::Arc, time::Duration};

use super::{Lifecycle, Server, ServerHandle};
use crate::{
    app::{
        into_response::IntoResponse,
        middleware::{OnRefusal, RefusedRequest},
        router::Router,
    },
    config::{BoundListener, Config, ListenOn, OnListenerFailure, Timeouts, Watcher},
    engine::net::inherited::{Wanted, want},
    http::Limits,
    observe::Observer,
};

/// Configures a [`Server`].
///
/// | method | default |
/// | --- | --- |
/// | [`max_connections`](ServerBuilder::max_connections) | 65,536 |
/// | [`max_requests_per_connection`](ServerBuilder::max_requests_per_connection) | no limit |
/// | [`max_connection_age`](ServerBuilder::max_connection_age) | no limit |
/// | [`max_workers`](ServerBuilder::max_workers) | 512 |
/// | [`max_queued`](ServerBuilder::max_queued) | 1024 |
/// | [`loops`](ServerBuilder::loops) | one per core |
/// | [`limits`](ServerBuilder::limits) | [`Limits::default`] |
/// | [`timeouts`](ServerBuilder::timeouts) | [`Timeouts::default`] |
///
/// Methods that begin with `max_` set a bound; the server uses less where less is needed.
#[derive(Debug)]
pub struct ServerBuilder {
    pub(super) config: Config,
    pub(super) router: Router,
}

impl ServerBuilder {
    /// The server's name in logs, errors and reports. Default `server`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// An address to listen on; port 0 lets the system choose (see [`ServerHandle::addresses`]). May be called several times.
    ///
    /// | address | listens on |
    /// | --- | --- |
    /// | `127.0.0.1:8080`, `[::1]:8080` | this address |
    /// | `0.0.0.0:8080` | every IPv4 address of the machine |
    /// | `[::]:8080` | every IPv6 address, and no IPv4 address (`IPV6_V6ONLY` is set, whatever the system's default is) |
    /// | `:8080` | every address of both families: two listeners on one port |
    /// | `localhost:8080` | `127.0.0.1` and `::1`: two listeners on one port |
    /// | `name:8080` | every address of this machine that the name resolves to |
    /// | `unix:/run/app.sock` | a Unix-domain socket |
    /// | `unix:/run/app.sock?mode=0660&group=www-data` | the same, and members of the group may connect |
    /// | `unix:@app` | a Unix-domain socket with an abstract name (Linux), to which every user may connect |
    /// | `systemd` | every listener that the process has inherited (feature `deploy`) |
    /// | `fd:http` | the inherited listeners of this name, the `FileDescriptorName=` of a socket unit (feature `deploy`) |
    ///
    /// Addresses that the machine does not have are left out, for instance `::1` where IPv6 is switched off, as long as
    /// the machine has one of them.
    ///
    /// # Unix-domain sockets
    ///
    /// Options of the file stand behind a `?`, with `&` between them: `mode` (octal), `owner` and `group` (names of
    /// `/etc/passwd` and `/etc/group`, or numbers). Without `mode`, the umask decides. A client must be allowed to write. See
    /// [unix(7)](https://man7.org/linux/man-pages/man7/unix.7.html).
    ///
    /// Guaranteed:
    ///
    /// - The file appears whole: with its mode, owner and group, and with a server that listens.
    /// - A file that is left of a server that was killed is replaced. A file in use is not (`AddrInUse`), also if two servers are
    ///   started at the same moment. What is no socket is never removed.
    /// - A stop refuses new clients and serves those that wait, as with TCP. Then it removes the file, unless the listener is
    ///   [kept](crate::StopPolicy::keep_listener), or the file is another server's by now.
    ///
    /// Not guaranteed:
    ///
    /// - The kernel tells another name of the socket, for instance to `ss -l`.
    /// - Unix-domain sockets have no resets. A response without a length to an HTTP/1.0 client looks whole if it is cut off.
    ///
    /// # Inherited listeners
    ///
    /// `LISTEN_FDS`, `LISTEN_PID` and `LISTEN_FDNAMES` name them: see
    /// [sd_listen_fds(3)](https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html). The supervisor holds them, too,
    /// so a stop leaves them as they are, and a later start uses them again. Their options, such as the length of the accept
    /// queue, are those of the supervisor.
    ///
    /// A start fails if a listener that was asked for was not inherited, if a descriptor is no listening TCP or Unix socket, or
    /// if the process has inherited a listener that none of its servers has asked for. A server asks when it is built, so
    /// build all servers before you start the first.
    ///
    /// # Panics
    ///
    /// If the address was given before, because the second listener could never be bound. Port 0 may be given again,
    /// because each time the system chooses another port.
    #[must_use]
    #[track_caller]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        let address = address.into();
        let is_same = |known: &ListenOn| matches!(known, ListenOn::Address(known) if *known == address);
        let is_doubled = self.config.listen.iter().any(is_same) && !address.ends_with(":0");
        assert!(
            !is_doubled,
            "{}: is told to listen on {address} twice: call listen once for each address",
            self.config.name
        );
        self.config.listen.push(ListenOn::Address(address));
        self
    }

    /// A listener that the program has bound itself, beside or instead of addresses. May be called several times.
    ///
    /// By default the listener is the server's own, and a stop closes it: see [`BoundListener`], also for listeners that
    /// others use, too.
    #[must_use]
    pub fn listener(mut self, listener: impl Into<BoundListener>) -> Self {
        self.config.listen.push(listener.into().into());
        self
    }

    /// The routes that the server serves. The last call counts.
    #[must_use]
    pub fn routes(mut self, router: Router) -> Self {
        self.router = router.finish();
        self
    }

    /// How much of a request the server takes in.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// How long clients may take.
    #[must_use]
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.config.timeouts = timeouts;
        self
    }

    /// The number of event loops, at least 1. Default: one per core.
    #[must_use]
    pub fn loops(mut self, loops: usize) -> Self {
        self.config.loops = loops.max(1);
        self
    }

    /// The most worker threads, at least 1. Threads are made on demand. Default 512.
    #[must_use]
    pub fn max_workers(mut self, workers: usize) -> Self {
        self.config.max_workers = workers.max(1);
        self
    }

    /// The most requests that wait for a worker, at least 1. Further requests are answered 503. Default 1024.
    #[must_use]
    pub fn max_queued(mut self, requests: usize) -> Self {
        self.config.max_queued = requests.max(1);
        self
    }

    /// The most connections at once, at least 1. Further clients wait in the kernel's accept queue. Default 65,536.
    #[must_use]
    pub fn max_connections(mut self, connections: usize) -> Self {
        self.config.max_connections = connections.max(1);
        self
    }

    /// The most requests on one connection, at least 1. The response to the last one says `Connection: close`.
    /// Default: no limit.
    #[must_use]
    pub fn max_requests_per_connection(mut self, requests: u64) -> Self {
        self.config.max_requests_per_connection = Some(requests.max(1));
        self
    }

    /// How old a kept-alive connection becomes, so that its client connects anew, and a balancer or the DNS may send it
    /// elsewhere. Default: no limit. The moment of each connection is up to a tenth of `age` earlier or later, so that
    /// clients that have connected together do not come back together.
    ///
    /// | at this moment the connection | what happens |
    /// | --- | --- |
    /// | is used | Its next response says `Connection: close`. Requests that the client has pipelined behind it are answered first. |
    /// | is idle, and its client is known to be quick | It is closed when it is older than 1.1 x `age`, and the client has been silent for a quarter of [`Timeouts::idle`] (but 1 s to 20 s), and for more than twice its longest recent pause. |
    /// | is idle otherwise | The response to its next request says `Connection: close`, or the idle time-out ends it. |
    /// | sends or receives a content, streams, or is upgraded | It is not cut. A stream goes on to its end; an upgraded connection is its handler's. |
    ///
    /// Guaranteed:
    ///
    /// - A client that waits for each response before it sends the next request loses nothing in the first row.
    /// - A client that pipelines is answered every request that has arrived by then. It must be ready to send later ones
    ///   again (RFC 9112 section 9.3.2).
    ///
    /// Not guaranteed:
    ///
    /// - The end of a connection at its age: a client that always has a further request under way is served on.
    /// - That no request crosses the close of an idle connection. As with an idle time-out, that is possible, but
    ///   unlikely after such a silence.
    ///
    /// Your part: choose minutes, not milliseconds, because each new connection costs a handshake. At most 24 days; a longer age
    /// counts as that.
    ///
    /// Other servers: gRPC (`MAX_CONNECTION_AGE`, with the same tenth) announces the end to its clients, and cuts them off
    /// after `MAX_CONNECTION_AGE_GRACE`. Nginx (`keepalive_time`) closes after the next request, like the first and third
    /// row. Envoy (`max_connection_duration`) drains the connection.
    #[must_use]
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.config.max_connection_age = Some(age);
        self
    }

    /// Whether the server fails or serves on when a listener fails for good. A listener fails for good when the kernel
    /// answers `EINVAL` or `EBADF` to every further `accept`, because somebody has destroyed the socket (`ss -K`) or
    /// shut it down. Default [`OnListenerFailure::Fail`]. The error is logged in both cases, and the observer is told
    /// ([`Event::ListenerFailed`](crate::observe::Event::ListenerFailed)).
    #[must_use]
    pub fn on_listener_failure(mut self, choice: OnListenerFailure) -> Self {
        self.config.on_listener_failure = choice;
        self
    }

    /// Tells `observer` what happens in the server: see [`Observer`]. The last call counts.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer) -> Self {
        self.config.observer = Watcher(Some(Arc::new(observer)));
        self
    }

    /// Makes the response to each request that the server answers itself, in place of the handler. These are:
    ///
    /// - requests that are malformed, too large or too slow;
    /// - the 503 of a full queue, and of a stop;
    /// - the answer at a [time limit](crate::routing::Route::timeout), unless that route
    ///   [has its own](crate::routing::Route::timeout_with).
    ///
    /// Answers of the router (404, 405, 501) are no refusals: [`Router::fallback`] makes them, and they pass through the
    /// wrappers.
    ///
    /// Guaranteed:
    ///
    /// - The status stays that of the refusal, unless the response has an error status (4xx, 5xx) of its own. So a text
    ///   or a JSON value can be returned as it is.
    /// - The connection is closed where it would be closed without `respond`, and the response says so.
    /// - If `respond` panics, or returns a content that is not in memory, the server sends its own answer. A panic is
    ///   logged.
    /// - The wrappers of the route are told afterwards: see [`Wrap::refused`](crate::middleware::Wrap::refused).
    ///
    /// Your part: `respond` must not block, because it runs on the event loop.
    ///
    /// The last call counts.
    ///
    /// ```
    /// use softstop::{IntoResponse, middleware::RefusedRequest, Router, Server};
    ///
    /// let builder = Server::builder().routes(Router::new()).on_refusal(|refused: &RefusedRequest<'_>| {
    ///     let id = refused.header("X-Request-Id").unwrap_or("none");
    ///     let json = format!("{{\"status\": {}, \"id\": {id:?}}}", refused.status().as_u16());
    ///     json.into_response().content_type("application/json")
    /// });
    /// # let _ = builder;
    /// ```
    #[must_use]
    pub fn on_refusal<R: IntoResponse>(
        mut self,
        respond: impl Fn(&RefusedRequest<'_>) -> R + Send + Sync + 'static,
    ) -> Self {
        let hook = move |refused: &RefusedRequest<'_>| respond(refused).into_response();
        self.config.on_refusal = OnRefusal(Some(Arc::new(hook)));
        self
    }

    /// The server. [`start`](Server::start) starts it.
    #[must_use]
    pub fn build(self) -> Server {
        let addresses = self.config.listen.iter().filter_map(|listen| match listen {
            ListenOn::Address(address) => Wanted::parse(address)?.ok(),
            ListenOn::Bound(_) => None,
        });
        addresses.for_each(|wanted| want(&wanted));
        let lifecycle = Arc::new(Lifecycle::new(Arc::new(self.config)));
        Server { handle: ServerHandle { lifecycle }, router: Arc::new(self.router) }
    }
}
