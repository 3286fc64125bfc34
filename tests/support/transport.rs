//! The way from a client to its server: TCP, or with `SOFTSTOP_TEST_UNIX=1` in the environment a Unix-domain socket. Each server
//! of a suite then listens on a socket, too, and the clients of the suite connect to the socket that belongs to an address. So the
//! tests are the same. Addresses without a socket are connected to by TCP.
#![allow(dead_code, reason = "each test program uses a part of this")]

use std::{
    collections::HashMap,
    io,
    net::{SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::PathBuf,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use softstop::{Server, ServerBuilder};

/// Whether the tests run over Unix-domain sockets.
pub(crate) fn is_unix() -> bool {
    std::env::var_os("SOFTSTOP_TEST_UNIX").is_some_and(|value| value == "1")
}

/// The socket of the server that has this address.
static SOCKETS: LazyLock<Mutex<HashMap<SocketAddr, PathBuf>>> = LazyLock::new(Mutex::default);

/// Has the server listen on a socket of its own, too.
pub(crate) fn listen(builder: ServerBuilder) -> ServerBuilder {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if !is_unix() {
        return builder;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("softstop-test-{}-{number}", std::process::id()));
    builder.listen(format!("unix:{}", path.display()))
}

/// The first address of a server that has just been started. Clients of the address connect to the server's socket.
pub(crate) fn first_address(server: &Server) -> SocketAddr {
    let address = server.socket_addrs()[0];
    if let Some(path) = server.addresses().iter().find_map(|address| address.path()) {
        SOCKETS.lock().unwrap().insert(address, path.to_owned());
    }
    address
}

/// Connects to the server's socket. `None` if the server at this address has none. (An earlier server, whose file is gone, may have
/// had the same address.)
///
/// The type is that of a TCP stream, because its calls are those of every stream socket. (Only `set_nodelay` fails, and the
/// addresses cannot be asked for.)
pub(crate) fn connect(address: SocketAddr) -> Option<io::Result<TcpStream>> {
    let path = SOCKETS.lock().unwrap().get(&address)?.clone();
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        outcome => Some(outcome.map(|stream| TcpStream::from(OwnedFd::from(stream)))),
    }
}
