//! Ways to accept connections: how each loop waits, how the loop is ended, and how long the end takes. These files are
//! written for readers. The server itself (`src/engine/net/`) does more than any of them.
//!
//! | strategy | waits in | is ended by | the end takes |
//! | --- | --- | --- | --- |
//! | [`waker`] | `epoll_wait`, without a time-out | a `Waker`, which is one more event of the same wait | one wake |
//! | [`deadline`] | `accept`, with a time-out | a flag, checked after each wait | up to the whole time-out |
//! | [`self_connect`] | `accept`, without a time-out | a flag and a connection to itself | one wake, if the loop can connect |
//! | [`threads`] | `accept`, with a thread for each connection | a flag and a connection to itself | one wake, and the threads |
//!
//! Each strategy is kept simple, and all do the same for a connection: they read the request, which arrives in one piece, and
//! answer. `deadline` and `self_connect` serve one connection after the other on one thread. A client that connects meanwhile
//! waits in the accept queue.

mod deadline;
mod self_connect;
mod threads;
mod waker;

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use clap::ValueEnum;

use super::watch::{Visit, Watch};

/// The answer to every request. The server announces the close and closes first, so the port of the client is free at once.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
/// The most bytes of a request, which is read in one piece.
const REQUEST_BYTES: usize = 1024;
/// How long a blocking strategy waits for a request. The clients of the bench send at once. Without this bound, a client
/// that sends nothing would block the server.
const PATIENCE: Duration = Duration::from_secs(2);

/// One way to accept: a listener, and a loop that waits and ends in its own way.
pub(crate) trait Strategy: Send {
    /// A function that ends `run` from another thread. The caller asks for it before `run` begins.
    fn stopper(&self) -> Stopper;

    /// Accepts and serves until the stopper is called. On return the listener and all connections are closed, because `self`
    /// is dropped.
    fn run(self: Box<Self>, watch: &Watch) -> io::Result<()>;
}

pub(crate) type Stopper = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// The strategies by their names on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A poll loop without a time-out, ended by a Waker
    Waker,
    /// Accept with a deadline of 2 s, and check a flag in between
    #[value(name = "deadline-2s")]
    Deadline2s,
    /// Accept with a deadline of 10 ms, and check a flag in between
    #[value(name = "deadline-10ms")]
    Deadline10ms,
    /// Blocking accept, woken by a connection from the program itself
    SelfConnect,
    /// Blocking accept and a thread for each connection
    ThreadPerConnection,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Waker => "waker",
            Kind::Deadline2s => "deadline-2s",
            Kind::Deadline10ms => "deadline-10ms",
            Kind::SelfConnect => "self-connect",
            Kind::ThreadPerConnection => "thread-per-connection",
        }
    }

    /// The longest wait of the loop, if there is a bound. The bench spreads its stops over this time.
    pub(crate) fn period(self) -> Option<Duration> {
        match self {
            Kind::Deadline2s => Some(Duration::from_secs(2)),
            Kind::Deadline10ms => Some(Duration::from_millis(10)),
            Kind::Waker | Kind::SelfConnect | Kind::ThreadPerConnection => None,
        }
    }

    fn listen(self) -> io::Result<(SocketAddr, Box<dyn Strategy>)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let strategy: Box<dyn Strategy> = match (self, self.period()) {
            (Kind::Waker, _) => Box::new(waker::WakerLoop::new(listener)?),
            (Kind::ThreadPerConnection, _) => Box::new(threads::ThreadPerConnection::new(listener)?),
            (_, Some(period)) => Box::new(deadline::DeadlineLoop::new(listener, period)?),
            (_, None) => Box::new(self_connect::SelfConnect::new(listener)?),
        };
        Ok((address, strategy))
    }
}

/// A strategy that runs on a thread of its own.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    stopper: Stopper,
    thread: JoinHandle<io::Result<()>>,
}

impl Running {
    pub(crate) fn start(kind: Kind, watch: Arc<Watch>) -> io::Result<Running> {
        let (address, strategy) = kind.listen()?;
        let stopper = strategy.stopper();
        let thread =
            thread::Builder::new().name(kind.name().to_owned()).spawn(move || strategy.run(&watch))?;
        Ok(Running { address, stopper, thread })
    }

    /// Makes one request that is not measured. Afterwards the thread runs, and its code and data are in memory.
    pub(crate) fn warm_up(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: warm\r\n\r\n")?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    }

    /// Stops the strategy. Returns the time from the request until the listener was closed and the thread joined.
    pub(crate) fn close(self) -> io::Result<Duration> {
        let asked = Instant::now();
        (self.stopper)()?;
        self.thread.join().map_err(|_| io::Error::other("an accept loop has panicked"))??;
        Ok(asked.elapsed())
    }
}

/// Serves one connection on a thread that may block.
fn serve(mut stream: TcpStream, visit: &Visit, watch: &Watch) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    if stream.read(&mut [0; REQUEST_BYTES])? > 0 {
        watch.first_byte(visit);
        stream.write_all(RESPONSE)?;
    }
    Ok(())
}

/// Whether an error of `accept` concerns only one connection. A client that disconnects while it waits in the accept queue
/// must not end the server. It would do so if every error were returned with `?`.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_strategy_serves_and_closes() {
        for kind in Kind::value_variants() {
            for clients in [0, 1, 20] {
                let running = Running::start(*kind, Arc::new(Watch::new())).unwrap();
                let address = running.address;
                for _ in 0..clients {
                    let mut client = TcpStream::connect(address).unwrap();
                    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
                    let mut response = Vec::new();
                    client.read_to_end(&mut response).unwrap();
                    assert_eq!(response, RESPONSE, "{kind:?}");
                }
                running.close().unwrap();
                assert!(TcpStream::connect(address).is_err(), "{kind:?}: the listener is closed");
            }
        }
    }

    #[test]
    fn names_are_those_of_the_command_line() {
        for kind in Kind::value_variants() {
            assert_eq!(kind.to_possible_value().unwrap().get_name(), kind.name());
        }
    }
}
