//! Several servers, and what they feed, that start, fail and stop together.

// A `Group` is put together here. `running` starts it and stops it, step by step. `lifecycle` is the state that the group shares
// with its handles. `schedule` decides how the steps share the time of the stop.

mod aside;
mod callbacks;
mod companion;
mod drain;
mod failure;
mod handle;
mod lifecycle;
mod outcomes;
pub(crate) mod progress;
pub(crate) mod report;
mod running;
mod schedule;
mod signals;
mod task;

use std::{fmt, io, sync::Arc};

use callbacks::Callbacks;
pub(crate) use companion::Companion;
#[cfg(all(feature = "deploy", target_os = "linux"))]
pub(crate) use companion::{Given, StopTiming};
pub use drain::{Drain, Drained};
pub use failure::GroupError;
pub use handle::GroupHandle;
use report::{DrainOutcome, DrainReport, GroupReport, TaskOutcome, TaskReport};
use task::TaskBody;
pub use task::TaskResult;

use crate::{
    server::Server,
    stop::{Context, SignalThread, StopPolicy},
};

/// Servers, tasks and drains that start, fail and stop together.
///
/// Guaranteed:
/// - All servers are bound before the first request is served. If one cannot bind, none serves.
/// - If a server or a task fails, everything is stopped gracefully, and [`run`](Group::run) returns the cause.
/// - A stop ends within the bound of its policy, plus 50 ms for tasks and drains that were told last. Then
///   [`run`](Group::run) waits until the members' values are dropped, at most a second longer.
/// - The report names each task and each drain that was left behind.
///
/// Not guaranteed:
/// - That a task ends. A thread cannot be ended from outside, so a task that ignores its context is left behind.
///
/// Your part:
/// - Let tasks look at their context.
/// - Put servers that ask each other into stages with [`then`](Group::then), so that they stop in the right order.
///
/// ```
/// use softstop::{Group, Router, Server, StopPolicy, route};
///
/// # fn main() -> Result<(), softstop::Error> {
/// let group = Group::new();
/// let stop = group.handle();
/// let routes = Router::new().get("/", route(|_| "Hello!").inline());
/// let report = group
///     .server(Server::builder().name("hello").listen("127.0.0.1:0").routes(routes).build())
///     .task("one job, then all is over", move |_context| {
///         stop.request_stop(StopPolicy::default());
///     })
///     .run()?;
/// assert!(report.is_clean());
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Group {
    servers: Vec<Member<Server>>,
    tasks: Vec<Member<TaskBody>>,
    drains: Vec<Member<Arc<dyn Drain>>>,
    /// The number of the last stage.
    stage: usize,
    handle: GroupHandle,
    signals: Option<io::Result<SignalThread>>,
    when_serving: Callbacks,
    when_stopping: Callbacks,
}

/// A member of the group, and the stage in which it is stopped.
struct Member<T> {
    name: String,
    stage: usize,
    part: T,
}

impl Group {
    /// A group without members.
    #[must_use]
    pub fn new() -> Group {
        Group {
            servers: Vec::new(),
            tasks: Vec::new(),
            drains: Vec::new(),
            stage: 0,
            handle: GroupHandle::new(),
            signals: None,
            when_serving: Callbacks::default(),
            when_stopping: Callbacks::default(),
        }
    }

    fn member<T>(&self, name: impl Into<String>, part: T) -> Member<T> {
        Member { name: name.into(), stage: self.stage, part }
    }

    /// Adds a server, which must not be running.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        let member = self.member(server.handle().name(), server);
        self.servers.push(member);
        self
    }

    /// Adds a task: a thread of its own that runs beside the servers.
    ///
    /// The task's context says when to end:
    /// - The hint ([`Context::stopping`]) is given when the group's stop begins.
    /// - The context itself ends when the servers of the task's stage have stopped, or their time is over (see
    ///   [`then`](Group::then)).
    ///
    /// A task that returns `()` or `Ok` is done, and the group goes on. A task that returns an error or panics stops the
    /// group. The error is kept as it is: the [report](crate::report::TaskOutcome::Failed) and the source of
    /// [`GroupError::cause`] have it.
    #[must_use]
    pub fn task<R: TaskResult>(
        mut self,
        name: impl Into<String>,
        body: impl FnOnce(&Context) -> R + Send + 'static,
    ) -> Self {
        let body: TaskBody = Box::new(move |context| body(context).into_result());
        let member = self.member(name, body);
        self.tasks.push(member);
        self
    }

    /// Adds something that the servers feed, such as a queue. It is emptied when the servers of its stage have stopped, or
    /// their time is over (see [`then`](Group::then)).
    ///
    /// ```
    /// use softstop::{Group, WaitGroup};
    ///
    /// let background = WaitGroup::new(); // handlers take guards of it, for work that outlives their requests
    /// let group = Group::new().drain("background work", background.clone());
    /// # drop(group);
    /// ```
    #[must_use]
    pub fn drain(mut self, name: impl Into<String>, drain: impl Drain) -> Self {
        let part: Arc<dyn Drain> = Arc::new(drain);
        let member = self.member(name, part);
        self.drains.push(member);
        self
    }

    /// Begins the next stage of the stop. Members that are added from now on go on undisturbed until the stages before are
    /// over.
    ///
    /// A stage has two steps. First all its servers stop, at once. Then all its drains are emptied and all its tasks are
    /// cancelled, at once. So even without `then`, servers stop before the drains that they feed.
    ///
    /// All steps together take no longer than [`StopPolicy::max_duration`]. Time that one step does not use is left for the steps
    /// after it. The rule:
    /// - A step begins when the step before is over: when everything in it has ended, or its share of the time has passed.
    ///   So a later stage still takes what a queue gives back at its own deadline.
    /// - Nothing is cancelled before the grace period is over.
    /// - The rest of the cancel grace is divided evenly among the remaining steps. In its part, a step that has used up the
    ///   grace period returns.
    /// - A step that begins near the end of the grace period, or after it, may still finish by itself. It has as long as the
    ///   policy's grace, but at most half of its own time.
    ///
    /// With a cancel grace of zero, a step that uses up the grace period leaves nothing for the steps after it.
    ///
    /// ```
    /// use softstop::{Group, Server};
    ///
    /// let (front, back) = (Server::builder().name("front").build(), Server::builder().name("back").build());
    /// // The front asks the back, so the back must not stop before the front. Both hand lines to the writer.
    /// let group = Group::new().server(front).then().server(back).then().task("writer", |context| {
    ///     context.wait();
    /// });
    /// # drop(group);
    /// ```
    #[must_use]
    pub fn then(mut self) -> Self {
        self.stage += 1;
        self
    }

    /// Sets the policy of a stop that a signal or a failure begins. Default [`StopPolicy::default`].
    ///
    /// Its times are those of the whole group, not of each member. [`then`](Group::then) says how the steps of the stop share
    /// them.
    #[must_use]
    pub fn policy(self, policy: StopPolicy) -> Self {
        self.handle.lifecycle.set_policy(policy);
        self
    }

    /// Checks the configuration of all servers: see [`Server::check`]. Binds nothing.
    ///
    /// # Errors
    ///
    /// The first error of a server.
    pub fn check(&self) -> Result<(), crate::Error> {
        self.servers.iter().try_for_each(|server| server.part.check())
    }

    /// A handle that stops the group from a handler, a task, or another thread.
    #[must_use]
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }
}

impl Default for Group {
    fn default() -> Self {
        Group::new()
    }
}

impl<T> fmt::Debug for Member<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} (stage {})", self.name, self.stage)
    }
}
