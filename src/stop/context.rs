//! Contexts tell work that it should end, and why. They form a tree: when a context ends, all contexts below it end with the
//! same cause.
//!
//! This file has the public type. The tree is in `node`, and the deadlines are in `timer`. A server's context has a hint, which
//! ends earlier than the context:
//!
//! ```text
//!                    a stop begins        the grace period is over
//!   hint      alive ───────────────> ended (Stopping)                      `context.stopping()`
//!   context   alive ───────────────────────────────> ended (Stopping)      `context`, and its children
//! ```

mod cause;
mod hint;
mod node;
mod on_cancel;
mod slab;
mod timer;

use std::{
    convert::Infallible,
    fmt,
    time::{Duration, Instant},
};

use crossbeam_channel::Receiver;

pub use self::{cause::Cause, on_cancel::OnCancel};

use self::{
    hint::Hint,
    node::{Callback, Node, Watcher},
};
use crate::sync::Arc;

/// Tells work that it should end, and why.
///
/// A context is alive until it ends. It ends when somebody calls [`cancel`](Context::cancel), when its deadline passes, or when
/// its parent ends. The work can ask ([`check`](Context::check)), wait ([`wait`](Context::wait), [`sleep`](Context::sleep)),
/// select ([`done`](Context::done)) or register a callback ([`on_cancel`](Context::on_cancel)).
///
/// Contexts form a tree. A [`child`](Context::child) ends with its parent, and can also be ended alone. A clone is another
/// handle of the same context.
///
/// # Guaranteed
///
/// - A context that has ended stays ended. Its first [`Cause`] stays its cause.
/// - A context ends with the cause of the context above it, if that one ended it.
/// - When a `cancel` that has ended the context returns, all contexts below have ended. It has also run the callbacks of all
///   contexts that it has ended. It runs no callback before all of these have ended.
/// - Dropping handles ends nothing. A child lives on, and still ends with its ancestors, when nobody holds its parent any more.
/// - A context without handles, children and registrations is freed, and its parent forgets it.
/// - A child costs one allocation, and one entry in its parent as long as it exists. A channel, a timer or a system call is
///   used only if a method needs it.
///
/// # Not guaranteed
///
/// - A context cannot end the work itself: no thread can be ended from outside.
/// - While a thread ends a tree, another thread may find a child alive whose parent has ended. A second `cancel` of the same
///   context returns at once, and may return before the first one has ended all contexts below.
///
/// # Your part
///
/// Work that may take long has to look at its context, and to return when the context has ended.
///
/// # Examples
///
/// A loop checks the context in each step. The `?` returns the cause to the caller:
///
/// ```
/// use softstop::{Cause, Context};
///
/// fn add(numbers: &[u64], context: &Context) -> Result<u64, Cause> {
///     let mut sum = 0;
///     for number in numbers {
///         context.check()?;
///         sum += number;
///     }
///     Ok(sum)
/// }
///
/// let context = Context::new();
/// assert_eq!(add(&[1, 2, 3], &context.child()), Ok(6));
/// context.cancel("enough");
/// assert_eq!(add(&[1, 2, 3], &context.child()), Err("enough".into()));
/// ```
#[derive(Clone)]
pub struct Context {
    node: Arc<Node>,
}

impl Context {
    /// Makes a root: a context without a parent, which ends only by [`cancel`](Context::cancel).
    pub fn new() -> Context {
        Context { node: Node::new([None, None], Hint::None, None) }
    }

    /// Makes a context that ends when this one ends, with the same cause. Ending the child does not end this one.
    pub fn child(&self) -> Context {
        self.bounded(None)
    }

    /// Makes a child that ends with [`Cause::DeadlineExceeded`] after `timeout`. If the end of the time-out is more than an
    /// [`Instant`] can hold, the child has no deadline of its own. See [`with_deadline`](Context::with_deadline).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use softstop::{Cause, Context};
    ///
    /// let context = Context::new().with_timeout(Duration::from_millis(5));
    /// assert_eq!(context.wait(), Cause::DeadlineExceeded);
    /// ```
    pub fn with_timeout(&self, timeout: Duration) -> Context {
        self.bounded(Instant::now().checked_add(timeout))
    }

    /// Makes a child that ends with [`Cause::DeadlineExceeded`] at `deadline`, or at once if that is in the past.
    ///
    /// One thread watches all deadlines of the process. The thread exists only while there are deadlines, and half a second
    /// longer. The thread also runs the callbacks of the contexts that it ends, so a callback that blocks delays all other
    /// deadlines. If the thread cannot be started, an error is logged, and the next deadline tries again for all.
    pub fn with_deadline(&self, deadline: Instant) -> Context {
        self.bounded(Some(deadline))
    }

    fn bounded(&self, deadline: Option<Instant>) -> Context {
        Context { node: Node::new([Some(&self.node), None], self.node.hint().inherit(), deadline) }
    }

    /// Makes a context that ends when one of the two ends, with the cause of that one. It has the hints of both: when a stop
    /// begins above one of them, [`stopping`](Context::stopping) of the new context ends.
    ///
    /// # Examples
    ///
    /// ```
    /// use softstop::{Cause, Context};
    ///
    /// let (request, job) = (Context::new(), Context::new());
    /// let both = request.merge(&job);
    /// job.cancel("replaced by a newer one");
    /// assert_eq!(both.cause(), Some(Cause::from("replaced by a newer one")));
    /// assert!(!request.is_cancelled());
    /// ```
    pub fn merge(&self, other: &Context) -> Context {
        let hint = self.node.hint().merge(other.node.hint());
        Context { node: Node::new([Some(&self.node), Some(&other.node)], hint, None) }
    }

    /// Ends this context and all contexts below it, then runs their callbacks on this thread.
    ///
    /// Returns `true` if this call ended the context. Returns `false` if the context had ended before; its cause stays.
    pub fn cancel(&self, cause: impl Into<Cause>) -> bool {
        self.node.end(cause.into())
    }

    /// Whether the context has ended. The call reads one atomic and takes no lock.
    pub fn is_cancelled(&self) -> bool {
        self.node.has_ended()
    }

    /// Why the context has ended, or `None` while it is alive.
    pub fn cause(&self) -> Option<Cause> {
        self.node.cause()
    }

    /// `Ok` while the context is alive. A loop that calls `context.check()?` in each step can be stopped.
    ///
    /// # Errors
    ///
    /// The cause, if the context has ended.
    pub fn check(&self) -> Result<(), Cause> {
        self.cause().map_or(Ok(()), Err)
    }

    /// When the context ends at the latest: the earliest of its own deadline and the deadlines above it. `None` if there is none.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline()
    }

    /// Blocks until the context ends, and returns the cause. If nothing ends the context, this blocks for ever.
    pub fn wait(&self) -> Cause {
        self.node.wait(None).expect("a wait without a deadline returns only when the context has ended")
    }

    /// Blocks until the context ends, for at most `timeout`. Returns `None` if the context is still alive then. If the end of the
    /// time-out is more than an [`Instant`] can hold, this waits without a limit.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Cause> {
        self.node.wait(Instant::now().checked_add(timeout))
    }

    /// Sleeps like [`std::thread::sleep`], but returns as soon as the context ends.
    ///
    /// # Errors
    ///
    /// The cause, if the context ended before `duration` was over, or had ended before the call.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{thread, time::Duration};
    /// use softstop::{Cause, Context};
    ///
    /// let context = Context::new();
    /// let sleeper = thread::spawn({
    ///     let context = context.clone();
    ///     move || context.sleep(Duration::from_secs(3600))
    /// });
    /// context.cancel(Cause::Stopping);
    /// assert_eq!(sleeper.join().unwrap(), Err(Cause::Stopping));
    /// ```
    pub fn sleep(&self, duration: Duration) -> Result<(), Cause> {
        self.wait_timeout(duration).map_or(Ok(()), Err)
    }

    /// A channel for [`select!`](crossbeam_channel::select). It never carries a message, and disconnects when the context ends.
    /// The first call makes the channel; further calls return the same one.
    ///
    /// # Examples
    ///
    /// ```
    /// use crossbeam_channel::{bounded, select};
    /// use softstop::{Cause, Context};
    ///
    /// let context = Context::new();
    /// let (_sender, jobs) = bounded::<String>(8);
    /// # context.cancel(Cause::Stopping);
    /// let next = select! {
    ///     recv(jobs) -> job => job.ok(),
    ///     recv(context.done()) -> _ => None,
    /// };
    /// assert_eq!(next, None);
    /// ```
    pub fn done(&self) -> Receiver<Infallible> {
        self.node.done()
    }

    /// Registers a callback that runs once when the context ends. If the context has ended already, the callback runs now, on
    /// this thread.
    ///
    /// **Guaranteed:** when the callback runs, all contexts below the ended one have ended. No lock is held, so the callback may
    /// use any context. A panic of the callback is caught and logged. Dropping the returned [`OnCancel`] before the context ends
    /// calls the callback off.
    ///
    /// **Not guaranteed:** the order of callbacks.
    ///
    /// **Your part:** the callback must be short and must not block, because it runs on the thread that ends the context. That
    /// thread may be an event loop, or the one that watches all deadlines. A callback that owns a handle of the same context
    /// makes a cycle; the memory is freed when the context ends or the registration is dropped.
    ///
    /// # Examples
    ///
    /// A callback shuts a socket down, which wakes the thread that reads from it:
    ///
    /// ```
    /// use std::{io::Read, net::{Shutdown, TcpListener, TcpStream}};
    /// use softstop::{Cause, Context};
    ///
    /// # let context = Context::new();
    /// # let listener = TcpListener::bind("127.0.0.1:0")?;
    /// # let address = listener.local_addr()?;
    /// let mut stream = TcpStream::connect(address)?;
    /// let waker = stream.try_clone()?;
    /// let _registration = context.on_cancel(move |_cause| _ = waker.shutdown(Shutdown::Both));
    /// # context.cancel(Cause::Stopping);
    /// let length = stream.read(&mut [0; 1024])?;
    /// # assert_eq!(length, 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn on_cancel(&self, callback: impl FnOnce(&Cause) + Send + 'static) -> OnCancel {
        match self.node.watch(Watcher::Callback(Callback::new(callback))) {
            Ok(slot) => OnCancel::registered(Arc::clone(&self.node), slot),
            Err((watcher, cause)) => {
                if let Watcher::Callback(callback) = watcher {
                    callback.call(&cause);
                }
                OnCancel::over()
            }
        }
    }
}

#[cfg(not(loom))]
impl Context {
    /// Drops the callbacks whose registrations are [forgotten](OnCancel::forget), on this thread, if this is the only handle.
    /// Otherwise the last handle drops them, which may be held by an event loop.
    pub(crate) fn drop_forgotten(&self) {
        if Arc::strong_count(&self.node) == 1 {
            self.node.drop_forgotten();
        }
    }
}

impl Default for Context {
    fn default() -> Context {
        Context::new()
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Context")
            .field("cause", &self.cause())
            .field("deadline", &self.deadline())
            .finish_non_exhaustive()
    }
}
