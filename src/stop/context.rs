//! A tree of contexts, in which the end of one is the end of all below it, and everybody can tell why.
//!
//! The tree is in `node`, the deadlines in `timer`; this is what users see of them.
//!
//! ```text
//!                 a stop begins          its time is over
//!   hint:  alive ───────────────> Stopping ─ ─ ─ ─ ─ ─ ─ ─     what `stopping()` gives
//!   hard:  alive ─────────────────────────────────> ended     the context itself, and its children
//! ```

mod cause;
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

use self::node::{Callback, Hint, Node, Watcher};
use crate::sync::Arc;

/// Tells work that it should end, and why; the work asks, waits or is called back.
///
/// Contexts form a tree: a [`child`](Context::child) ends when its parent does, with the same [`Cause`], and can be
/// ended alone. What ended once stays ended, and the first cause is the one that stays. A clone is a handle of the
/// same context. Dropping handles ends nothing: a child goes on, and still hears from above, when those of its
/// parents are gone; a context whose handles, children and registrations are all gone is forgotten by its parent.
///
/// Ending a context ends all below it before [`cancel`](Context::cancel) returns, and before any callback runs. A
/// thread that ends a context and one that looks at a child may of course overtake each other in between.
///
/// A child costs one allocation, and a place in its parent for as long as it exists; a channel, a timer or a system
/// call only what is asked for.
///
/// # Examples
///
/// A loop asks now and then, and passes the cause up:
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
    /// A root: it ends only if somebody ends it.
    pub fn new() -> Context {
        Context { node: Node::new([None, None], Hint::None, None) }
    }

    /// A context that ends when this one does, with its cause, and can be ended without it.
    pub fn child(&self) -> Context {
        self.bounded(None)
    }

    /// A child that ends with [`Cause::DeadlineExceeded`] after that time. If the time is more than an [`Instant`]
    /// can tell, it is a plain child.
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

    /// A child that ends with [`Cause::DeadlineExceeded`] at that time; at once if it is in the past.
    ///
    /// All deadlines of the process are watched by one thread, which exists only while there are any, and a moment
    /// longer. It also runs the callbacks of the contexts that it ends: one that blocks delays all other deadlines.
    pub fn with_deadline(&self, deadline: Instant) -> Context {
        self.bounded(Some(deadline))
    }

    fn bounded(&self, deadline: Option<Instant>) -> Context {
        Context { node: Node::new([Some(&self.node), None], self.node.hint().inherit(), deadline) }
    }

    /// A context that ends when either of the two does, with the cause of that one. What hints to either of them
    /// that a stop has begun hints to it, too.
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

    /// Ends the context and all below it. `true` if it was this call that did; if it had ended already, its cause
    /// stays and this is `false`.
    pub fn cancel(&self, cause: impl Into<Cause>) -> bool {
        self.node.end(cause.into())
    }

    /// Whether it has ended. Costs as much as reading one atomic.
    pub fn is_cancelled(&self) -> bool {
        self.node.has_ended()
    }

    /// Why it has ended, if it has.
    pub fn cause(&self) -> Option<Cause> {
        self.node.cause()
    }

    /// The cause as an error once it has ended: `context.check()?` is how a loop lets itself be stopped.
    pub fn check(&self) -> Result<(), Cause> {
        self.cause().map_or(Ok(()), Err)
    }

    /// When it is going to end at the latest: the earliest of its own deadline and those above.
    pub fn deadline(&self) -> Option<Instant> {
        self.node.deadline()
    }

    /// Blocks until it ends. A root that nobody ends blocks for ever.
    pub fn wait(&self) -> Cause {
        self.node.wait(None).expect("a wait without a deadline ends with the context")
    }

    /// Blocks until it ends; `None` if it is still alive after that time.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Cause> {
        self.node.wait(Instant::now().checked_add(timeout))
    }

    /// As [`std::thread::sleep`], but over as soon as the context ends, whose cause is then the error.
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

    /// A channel that never carries anything and disconnects when the context ends, for
    /// [`select!`](crossbeam_channel::select). It is made when it is first asked for.
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

    /// Has the callback run once when the context ends, at once if it has. It runs on the thread that ends the
    /// context, which may be the timer's: it must be short and must not block. No lock is held, so it may use any
    /// context; when it runs, all below the one that was ended has ended. The order of callbacks is not defined, and
    /// a panic in one is caught and logged.
    ///
    /// Dropping the registration calls it off. If the callback owns a handle of the very context, this is a cycle
    /// that only ends with the context or the registration.
    ///
    /// # Examples
    ///
    /// Closing a socket is how a thread that reads from it is woken up:
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
            Ok(place) => OnCancel::registered(Arc::clone(&self.node), place),
            Err((watcher, cause)) => {
                if let Watcher::Callback(callback) = watcher {
                    callback.call(&cause);
                }
                OnCancel::over()
            }
        }
    }

    /// The soft hint: a context that ends with [`Cause::Stopping`] when a stop begins, while this one goes on until
    /// the time that the stop grants is over. Work that can end early and well takes the hint; other work may go on.
    /// It ends at the latest when this context does. If there is no server above it to give hints, it is this
    /// context itself.
    ///
    /// Ask once and keep the answer: below the server's own context, every call makes a new one. In a loop,
    /// [`is_stopping`](Context::is_stopping) is the cheaper question.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use softstop::{Cause, Context};
    ///
    /// /// Answers as late as possible, but not later than the server likes.
    /// fn long_poll(context: &Context) -> &'static str {
    ///     match context.stopping().sleep(Duration::from_secs(60)) {
    ///         Ok(()) => "nothing new",
    ///         Err(Cause::Stopping) => "come again",
    ///         Err(_) => "nobody reads this",
    ///     }
    /// }
    ///
    /// let (hard, soft) = Context::root_with_hint(None);
    /// soft.cancel(Cause::Stopping);
    /// assert_eq!(long_poll(&hard.child()), "come again");
    /// assert!(!hard.is_cancelled());
    /// ```
    pub fn stopping(&self) -> Context {
        match self.node.hint() {
            Hint::None => self.clone(),
            Hint::Own(hint) => Context { node: Arc::clone(hint) },
            Hint::Inherited(hint) => {
                Context { node: Node::new([Some(&self.node), Some(hint)], Hint::None, None) }
            }
        }
    }

    /// Whether a stop has begun, or the context has ended: what `stopping().is_cancelled()` would tell.
    pub fn is_stopping(&self) -> bool {
        self.is_cancelled() || self.node.hint().node().is_some_and(|hint| hint.has_ended())
    }

    /// A context with a hint of its own, as a server gives to its handlers: what it returns is the context, and the
    /// hint to it and all below it. Ending the hint with [`Cause::Stopping`] is to announce a stop; ending the
    /// context ends both. With a parent, both end with it, and its hint is passed on.
    ///
    /// Servers do this by themselves; it is for tests of handlers, and for work that is stopped likewise but serves
    /// no requests.
    pub fn root_with_hint(parent: Option<&Context>) -> (Context, Context) {
        // The hint hangs on the parent itself and is only told by the context, which owns it: no cycle.
        let above = parent.map(Context::stopping);
        let hint = Node::new([above.as_ref().map(|above| &above.node), None], Hint::None, None);
        let node = Node::new([parent.map(|parent| &parent.node), None], Hint::Own(Arc::clone(&hint)), None);
        if let Err((_, cause)) = node.watch(Watcher::Child(Arc::downgrade(&hint))) {
            hint.end(cause);
        }
        (Context { node }, Context { node: hint })
    }
}

#[cfg(not(loom))]
impl Context {
    /// Drops, on this thread, the callbacks whose registrations are [forgotten](OnCancel::forget), if this is the only handle.
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
