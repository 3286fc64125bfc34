//! Routes that read their content as it arrives: in constant memory, at the pace of the handler, and to every possible
//! end.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../hostile/client.rs"]
mod client;
mod endings;
mod flow;
mod stopping;
#[path = "../support/transport.rs"]
mod transport;

use std::{
    io::{self, Read},
    net::SocketAddr,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use client::{Client, HUNG};
use softstop::{Handler, Router, Server, ServerBuilder, routing::IntoRoute};

/// A server with one streamed route, `/`.
struct Served(Server);

impl Served {
    fn new(handler: impl Handler) -> Served {
        Served::with(handler.into_route().streamed(), |builder| builder)
    }

    fn with(route: impl IntoRoute, configure: impl FnOnce(ServerBuilder) -> ServerBuilder) -> Served {
        let router = Router::new().post("/", route);
        let builder = transport::listen(Server::builder().listen("127.0.0.1:0").routes(router));
        let server = configure(builder).build();
        server.start().unwrap();
        Served(server)
    }

    fn address(&self) -> SocketAddr {
        transport::first_address(&self.0)
    }

    /// A client that has sent this part of a request.
    fn post(&self, rest: impl AsRef<str>) -> Client {
        let client = Client::connect(self.address());
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{}", rest.as_ref()));
        client
    }
}

/// A channel by which a handler reports what it saw, or by which a test lets a handler go on.
struct Channel<T> {
    sender: SyncSender<T>,
    receiver: std::sync::Mutex<Receiver<T>>,
}

impl<T> Channel<T> {
    fn new() -> std::sync::Arc<Channel<T>> {
        let (sender, receiver) = sync_channel(16);
        std::sync::Arc::new(Channel { sender, receiver: receiver.into() })
    }

    fn put(&self, value: T) {
        self.sender.send(value).unwrap();
    }

    #[track_caller]
    fn take(&self) -> T {
        self.receiver.lock().unwrap().recv_timeout(HUNG).unwrap()
    }
}

/// Reads to the end. Returns the number of bytes, or the kind of the error.
fn drain(mut reader: impl Read) -> Result<u64, io::ErrorKind> {
    io::copy(&mut reader, &mut io::sink()).map_err(|error| error.kind())
}
