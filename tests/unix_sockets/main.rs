//! Servers on Unix-domain sockets: the file, who may connect, who has connected, and stops that lose nothing. (The suites of
//! serving and stopping run over a Unix-domain socket, too: see `support/transport.rs`.)
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod given;
mod lossless;
mod permissions;

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use softstop::{
    ErrorKind, Request, Router, Server, ServerBuilder, StopPolicy,
    report::{CloseReason, ListenerEnd},
    route,
};
use support::HUNG;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("softstop-unix-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        Folder(folder)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("app.sock")
    }

    fn is_empty(&self) -> bool {
        std::fs::read_dir(&self.0).unwrap().next().is_none()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        _ = std::fs::remove_dir_all(&self.0);
    }
}

fn builder(routes: Router) -> ServerBuilder {
    Server::builder().name("tested").loops(1).routes(routes)
}

fn hello() -> Router {
    Router::new().get("/", route(|_: &Request| "hello").inline())
}

fn on(path: &Path) -> Server {
    builder(hello()).listen(format!("unix:{}", path.display())).build()
}

/// Sends one request, and returns everything up to the end of the connection.
fn ask(mut stream: UnixStream) -> String {
    stream.set_read_timeout(Some(HUNG)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn it_serves_and_the_file_goes_with_each_run() {
    let folder = Folder::new();
    let server = on(&folder.socket());
    for _ in 0..3 {
        server.start().unwrap();
        assert_eq!(server.addresses()[0].to_string(), format!("unix:{}", folder.socket().display()));
        assert!(server.socket_addrs().is_empty());
        assert!(ask(UnixStream::connect(folder.socket()).unwrap()).ends_with("hello"));
        let report = server.stop(StopPolicy::default());
        assert!(report.is_clean(), "{report}");
        assert_eq!(report.listener, Some(ListenerEnd::Refused), "{report}");
        assert_eq!(report.closes[CloseReason::Completed], 1, "{report}");
        assert!(folder.is_empty());
    }
}

#[test]
fn a_kept_listener_keeps_its_file_and_its_clients() {
    let folder = Folder::new();
    let server = on(&folder.socket());
    server.start().unwrap();
    let report = server.stop(StopPolicy::default().keep_listener());
    assert_eq!(report.listener, Some(ListenerEnd::Kept), "{report}");
    let waiting = UnixStream::connect(folder.socket()).unwrap();
    server.start().unwrap();
    assert!(ask(waiting).ends_with("hello"));
    assert_eq!(server.stop(StopPolicy::default().keep_listener()).listener, Some(ListenerEnd::Kept));
    // The server gives up what it has kept.
    drop(server);
    assert!(folder.is_empty());
}

/// A server that was killed leaves its file, which a new server replaces. A file in use stays.
#[test]
fn one_server_listens_on_a_path() {
    let folder = Folder::new();
    drop(std::os::unix::net::UnixListener::bind(folder.socket()).unwrap());
    let first = on(&folder.socket());
    first.start().unwrap();
    let error = on(&folder.socket()).start().unwrap_err();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::AddrInUse), "{error}");
    let (text, path) = (error.to_string(), folder.socket());
    assert!(text.starts_with(&format!("tested: cannot listen on unix:{}", path.display())), "{text}");
    assert!(ask(UnixStream::connect(folder.socket()).unwrap()).ends_with("hello"));
}

#[test]
fn what_is_wrong_is_said_before_anything_serves() {
    let folder = Folder::new();
    std::fs::write(folder.socket(), "precious").unwrap();
    let error = on(&folder.socket()).start().unwrap_err();
    assert!(error.to_string().contains("the path is a regular file, and no socket"), "{error}");
    assert_eq!(std::fs::read(folder.socket()).unwrap(), b"precious");
    let error = on(&folder.0.join("no/such/folder")).start().unwrap_err();
    assert_eq!(error.io_kind(), Some(std::io::ErrorKind::NotFound), "{error}");
    for (address, advice) in [
        ("unix:", "write unix:/PATH"),
        ("unix:/a?mode=9", "octal"),
        ("unix:/a?group=no-such-group-here", "/etc/group"),
        ("fd:", "fd:NAME"),
        (
            "fd:nothing",
            if cfg!(feature = "deploy") { "has inherited no listener" } else { "feature `deploy`" },
        ),
    ] {
        let error = builder(hello()).listen(address).build().start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
        assert!(error.to_string().contains(advice), "{address}: {error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_is_an_address_too() {
    use std::os::{linux::net::SocketAddrExt, unix::net::SocketAddr};
    let name = format!("softstop-unix-{}", std::process::id());
    let server = builder(hello()).listen(format!("unix:@{name}")).build();
    server.start().unwrap();
    assert_eq!(server.addresses()[0].abstract_name(), Some(name.as_bytes()));
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    assert!(ask(UnixStream::connect_addr(&address).unwrap()).ends_with("hello"));
    assert_eq!(server.stop(StopPolicy::default()).listener, Some(ListenerEnd::Refused));
    assert!(UnixStream::connect_addr(&address).is_err());
}

#[test]
fn an_upgraded_connection_is_a_unix_stream() {
    let folder = Folder::new();
    let echo = |request: &Request| {
        request.upgrade("raw", |mut connection, _| {
            assert!(connection.stream().unix().is_some() && connection.stream().tcp().is_none());
            connection.stream().set_read_timeout(Some(HUNG)).unwrap();
            let mut bytes = [0; 4];
            connection.read_exact(&mut bytes).unwrap();
            connection.write_all(&bytes).unwrap();
        })
    };
    let routes = Router::new().get("/", echo);
    let server = builder(routes).listen(format!("unix:{}", folder.socket().display())).build();
    server.start().unwrap();
    let mut client = UnixStream::connect(folder.socket()).unwrap();
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: raw\r\n\r\nping")
        .unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.ends_with("\r\n\r\nping"), "{answer}");
    assert!(server.stop(StopPolicy::default()).is_clean());
}
