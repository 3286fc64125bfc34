//! Handing a connection over to its handler, for another protocol (RFC 9110 section 7.8).
//!
//! ```text
//!   loop:     101 is written -> the socket leaves the loop, blocking from now on, with what was read behind the request
//!   thread:   the handler's own; a seat of the pool, so that a stop waits for it, joins it, or names it
//!             a stop begins -> the context hints;  its time is over -> the context ends, and the socket is shut down
//! ```

use std::{
    fmt,
    io::{self, Read, Write},
    net::{Shutdown, TcpStream},
    sync::{Arc, Mutex},
};

use crate::{isolation::disposal::dispose, stop::Context, sync::lock};

type Handler = Box<dyn FnOnce(Upgraded, &Context) + Send>;

/// A connection that is its handler's alone: reads and writes block. Dropped, it is closed.
pub struct Upgraded {
    stream: TcpStream,
    /// What the client had sent behind its request.
    early: io::Cursor<Vec<u8>>,
}

/// What is to become of the connection once the response is written: see [`Request::upgrade`](crate::Request::upgrade).
pub(crate) struct Upgrade {
    taker: Arc<Taker>,
}

/// The handler, until it is called.
struct Taker(Mutex<Option<(Handler, Context)>>);

/// A handler that is never called may own anything, and its response may be dropped by a loop.
impl Drop for Taker {
    fn drop(&mut self) {
        if let Some((handler, _)) = lock(&self.0).take() {
            dispose(handler);
        }
    }
}

impl Upgraded {
    /// The socket, for instance to set time-outs, or to shut it down from elsewhere ([`TcpStream::try_clone`]). Some of what
    /// the client has sent may not be in it any more: read from `self`.
    ///
    /// Writes through `self` never raise SIGPIPE. A vectored write to the socket itself does, if the client is gone and the
    /// process has given SIGPIPE its default disposition back.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

impl Read for Upgraded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.early.read(buffer)? {
            0 => self.stream.read(buffer),
            count => Ok(count),
        }
    }
}

impl Write for Upgraded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

impl fmt::Debug for Upgraded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgraded").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Upgrade {
    pub(crate) fn new(
        handler: impl FnOnce(Upgraded, &Context) + Send + 'static,
        context: Context,
    ) -> Upgrade {
        let handler: Handler = Box::new(handler);
        Upgrade { taker: Arc::new(Taker(Mutex::new(Some((handler, context))))) }
    }

    /// Runs the handler to its end, on this thread.
    pub(crate) fn run(&self, stream: TcpStream, early: Vec<u8>) -> io::Result<()> {
        let Some((handler, context)) = lock(&self.taker.0).take() else { return Ok(()) };
        stream.set_nonblocking(false)?;
        let waker = stream.try_clone()?;
        let _at_the_end = context.on_cancel(move |_| _ = waker.shutdown(Shutdown::Both));
        handler(Upgraded { stream, early: io::Cursor::new(early) }, &context);
        Ok(())
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}
