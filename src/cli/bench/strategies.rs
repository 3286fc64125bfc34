//! Ways to accept connections, next to each other: how each waits, how it is told to end, and what that costs. These
//! files are for reading; the server itself (`src/engine/net/`) does more than any of them.
//!
//! | strategy | waits in | is ended by | which takes |
//! | --- | --- | --- | --- |
//! | [`waker`] | `epoll_wait`, for ever | a `Waker`, one more event for the same wait | one wake |
//! | [`deadline`] | `accept`, for a while | a flag, looked at between two waits | up to the whole while |
//! | [`self_connect`] | `accept`, for ever | a flag and a connection to itself | one wake, if the connection can be had |
//! | [`threads`] | the same, with a thread for each connection | the same | the same, and the threads |
//!
//! None of them is shown at its most refined, and none does more than the others for a connection: it reads the request,
//! which comes in one piece, and answers. The two that do everything on one thread serve in turn, as such loops do:
//! whoever comes meanwhile waits to be accepted.

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

/// What everybody is answered. It says that the server closes, and the server does: so the client's port is free at once.
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
/// The largest request that is read in one piece.
const REQUEST_BYTES: usize = 1024;
/// How long a blocking strategy waits for a request. The client sends it with the connection, so this is never needed;
/// without it a client that sends nothing could hold a whole server.
const PATIENCE: Duration = Duration::from_secs(2);

/// One way to accept: a listener, and how its loop waits and ends.
pub(crate) trait Strategy: Send {
    /// What ends `run`, from another thread. Asked for before `run` begins.
    fn stopper(&self) -> Stopper;

    /// Accepts and serves until it is stopped. When it returns, its listener and connections are closed: `self` is gone.
    fn run(self: Box<Self>, watch: &Watch) -> io::Result<()>;
}

pub(crate) type Stopper = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// The strategies by the names they have on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// A poll loop without a time-out, broken out of by a Waker
    Waker,
    /// Accept with a deadline of 2 s; a flag is looked at in between
    #[value(name = "deadline-2s")]
    Deadline2s,
    /// Accept with a deadline of 10 ms; a flag is looked at in between
    #[value(name = "deadline-10ms")]
    Deadline10ms,
    /// Blocking accept, woken by a connection to itself
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

    /// How long its loop waits at most, if it does not wait for ever: stops have to be asked for all over that time.
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

    /// One request and its answer, not measured: afterwards the thread runs, and what it needs is in memory.
    pub(crate) fn warm_up(&self) -> io::Result<()> {
        let mut stream = TcpStream::connect_timeout(&self.address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: warm\r\n\r\n")?;
        io::copy(&mut stream, &mut io::sink()).map(drop)
    }

    /// Stops it: how long it took from the asking until the listener was closed and the thread joined.
    pub(crate) fn close(self) -> io::Result<Duration> {
        let asked = Instant::now();
        (self.stopper)()?;
        self.thread.join().map_err(|_| io::Error::other("an accept loop has panicked"))??;
        Ok(asked.elapsed())
    }
}

/// Serves one connection where one may block.
fn serve(mut stream: TcpStream, visit: &Visit, watch: &Watch) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    if stream.read(&mut [0; REQUEST_BYTES])? > 0 {
        watch.first_byte(visit);
        stream.write_all(RESPONSE)?;
    }
    Ok(())
}

/// Whether an error of `accept` is that of the one connection, and the next one may be fine. A client that has gone
/// while it waited in the queue must not end a server, as it does where every error is handed on with `?`.
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
