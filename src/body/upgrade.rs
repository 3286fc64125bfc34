//! The hand-over of a connection to its handler, for another protocol (RFC 9110 section 7.8).
//!
//! ```text
//!   loop:     101 is written ----> the socket leaves the loop, with the bytes that were read behind the request
//!   thread:   its own thread runs the handler, on the socket, which blocks from now on
//!               a stop begins         -> the handler's context hints
//!               the stop's time ends  -> the context ends, and the socket is shut down
//!             the stop waits for the thread, and joins or names it
//! ```

use std::{
    fmt,
    io::{self, Read, Write},
    net::Shutdown,
    sync::{Arc, Mutex},
};

use super::upgraded_stream::UpgradedStream;
use crate::{isolation::disposal::dispose, stop::Context, sync::lock};

type UpgradeHandler = Box<dyn FnOnce(Upgraded, &Context) + Send>;

/// A connection that belongs to its handler alone. Reads and writes block. The drop closes the connection.
pub struct Upgraded {
    stream: UpgradedStream,
    /// The bytes that the client had sent behind its request.
    early: io::Cursor<Vec<u8>>,
}

/// The handler that takes the connection over once the response is written: see
/// [`Request::upgrade`](crate::Request::upgrade).
pub(crate) struct Upgrade {
    taker: Arc<Taker>,
}

/// The handler and its context, until the handler is called.
struct Taker(Mutex<Option<(UpgradeHandler, Context)>>);

/// A loop may drop the response, and a handler that is never called may own values whose `Drop` blocks. So another thread drops
/// such a handler.
impl Drop for Taker {
    fn drop(&mut self) {
        if let Some((handler, _)) = lock(&self.0).take() {
            dispose(handler);
        }
    }
}

impl Upgraded {
    /// The socket: to set time-outs, or to shut the socket down from another thread ([`UpgradedStream::try_clone`]).
    ///
    /// Read from `self`, not from the socket, because the loop may have read some of the client's bytes already.
    ///
    /// Writes through `self` never raise SIGPIPE. A vectored write to the socket of the standard library does, if the client is
    /// gone and the process has given SIGPIPE its default disposition back.
    #[must_use]
    pub fn stream(&self) -> &UpgradedStream {
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
        let handler: UpgradeHandler = Box::new(handler);
        Upgrade { taker: Arc::new(Taker(Mutex::new(Some((handler, context))))) }
    }

    /// Runs the handler to its end, on this thread.
    pub(crate) fn run(&self, stream: UpgradedStream, early: Vec<u8>) -> io::Result<()> {
        let Some((handler, context)) = lock(&self.taker.0).take() else { return Ok(()) };
        stream.set_nonblocking(false)?;
        let waker = stream.try_clone()?;
        let _shutdown_at_the_end = context.on_cancel(move |_| _ = waker.shutdown(Shutdown::Both));
        handler(Upgraded { stream, early: io::Cursor::new(early) }, &context);
        Ok(())
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}
