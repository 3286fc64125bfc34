//! Several servers, and what they feed, that start, fail and stop together.
//!
//! ```text
//!   bind all --ok--> serve all, start tasks --> wait for: a stop | a failure | the end of all servers (or tasks)
//!      |                    |                                      |
//!      +-- error ----> release all, return it        stage by stage: its servers drain, all at once;
//!                                                    then its tasks are cancelled and its drains emptied, all at once
//! ```
//!
//! All stages share the one time that the stop has: `schedule` says how.

mod control;
mod drain;
mod ending;
mod failure;
pub(crate) mod report;
mod schedule;
mod signals;

use std::{
    fmt, io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

pub use control::GroupHandle;
use control::{cancel_aside, tell};
pub use drain::{Drain, Drained};
pub use failure::GroupError;
use report::{DrainOutcome, DrainReport, GroupReport, TaskOutcome, TaskReport};
use schedule::Step;

use crate::{
    error::Error,
    isolation::{
        contain::{Contained, catch},
        joining::join_until,
        journal,
    },
    server::{Server, ServerHandle},
    stop::{Context, SignalThread, StopPolicy, StopReport},
};

/// How long the drop of what the members own is waited for at least, however short the stop's bound.
const LEAVING: Duration = Duration::from_secs(1);

/// Servers and tasks that live and die together.
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
}

/// A part of the group, and the stage in which it is stopped.
struct Member<T> {
    name: String,
    stage: usize,
    part: T,
}

type TaskBody = Box<dyn FnOnce(&Context) -> Result<(), String> + Send>;

/// What a task may return: nothing, or a `Result` whose error can be shown.
pub trait TaskResult {
    /// The error as text, if it is one.
    ///
    /// # Errors
    ///
    /// If the task failed.
    fn into_result(self) -> Result<(), String>;
}

impl TaskResult for () {
    fn into_result(self) -> Result<(), String> {
        Ok(())
    }
}

impl<E: fmt::Display> TaskResult for Result<(), E> {
    fn into_result(self) -> Result<(), String> {
        self.map_err(|error| error.to_string())
    }
}

impl Group {
    /// A group of nobody yet.
    #[must_use]
    pub fn new() -> Group {
        Group {
            servers: Vec::new(),
            tasks: Vec::new(),
            drains: Vec::new(),
            stage: 0,
            handle: GroupHandle::new(),
            signals: None,
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

    /// Adds a task: a thread of its own that runs beside the servers. Its context says when to end: `stopping()` when
    /// the group's stop begins, the context itself when the servers of its stage have stopped, or their time is over
    /// (see [`then`](Group::then)). A task that returns `Ok` is done; one that returns an error or panics stops the group. (One that returns
    /// nothing cannot fail but by a panic.)
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

    /// Adds something that the servers feed, such as a queue: it is emptied when the servers of its stage have stopped,
    /// or their time is over (see [`then`](Group::then)).
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

    /// Begins the next stage of the stop: what is added from now on goes on undisturbed until everything before is over.
    /// Within a stage there are two steps. First all servers stop, at once. Then all drains are emptied and all tasks are
    /// cancelled, at once. So, without a single `then`, servers are followed by what they feed.
    ///
    /// All steps together take no longer than [`StopPolicy::max_duration`]. What a step does not use is left for those after
    /// it. The rule:
    /// - A step begins when the step before is over: when everything in it has ended, or its share of the time has passed.
    ///   So a later stage still takes what a queue gives back at its own deadline.
    /// - Nothing is cancelled before the grace period is over.
    /// - What is left of the cancel grace is divided evenly among the steps that are left. In its part, a step that has
    ///   used up the grace period returns.
    /// - A step that begins when the grace period is nearly or entirely over may still finish by itself: as long as the
    ///   policy's grace, but for half of its own time at most.
    ///
    /// With a cancel grace of zero, a step that uses up the grace period leaves nothing for those after it.
    ///
    /// ```
    /// use softstop::{Group, Server};
    ///
    /// let (front, back) = (Server::builder().name("front").build(), Server::builder().name("back").build());
    /// // The front asks the back, which must not stop before the front has; both hand lines to the writer.
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

    /// The policy of a stop that a signal or a failure begins. Default [`StopPolicy::default`].
    ///
    /// Its times are those of the whole group, not of each part: [`then`](Group::then) says how the steps of the stop share
    /// them.
    #[must_use]
    pub fn policy(self, policy: StopPolicy) -> Self {
        self.handle.control.set_policy(policy);
        self
    }

    /// A handle with which to stop the group from a handler, a task, another thread.
    #[must_use]
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }

    /// Binds all servers, then starts them and the tasks, and waits for the end: a stop, a failure, or that all servers
    /// (in a group without servers, all tasks) have ended by themselves. Then everything is stopped, stage by stage.
    ///
    /// Last, what the members own is dropped, on another thread. The group waits for that, but no longer than the bound of
    /// the stop and a second.
    ///
    /// # Errors
    ///
    /// [`GroupError`] has the first cause, and the reports of everything all the same:
    /// - A server could not bind. Then nothing has served, and the others' addresses are free again.
    /// - A server or a task failed later. The rest of the group has been stopped gracefully by then.
    pub fn run(mut self) -> Result<GroupReport, GroupError> {
        let outcome = self.run_to_the_end();
        self.let_go();
        outcome
    }

    /// Drops the members, which own handlers, observers and drains: a user's values, whose `Drop` may panic or block. The
    /// caller waits for that, but not much longer than the stop lasts.
    fn let_go(self) {
        let now = Instant::now();
        let until = self.handle.control.end().map_or(now, |end| end.max(now)) + LEAVING;
        let group = Contained::new(self);
        match thread::Builder::new().name("group drops".to_owned()).spawn(move || drop(group)) {
            Ok(thread) => {
                if join_until(vec![thread], until) > 0 {
                    journal::warn!(
                        "the group does not wait any longer: a value takes too long to be dropped"
                    );
                }
            }
            Err(error) => journal::debug!("the group is dropped where it was run: no thread: {error}"),
        }
    }

    fn run_to_the_end(&mut self) -> Result<GroupReport, GroupError> {
        let signals = self.signals.take().transpose();
        // Held until the end: a further signal makes the stop stricter.
        let _signals = match signals {
            Ok(signals) => signals,
            Err(error) => {
                let report = self.report_of_no_start();
                return Err(GroupError::new(report, Error::io("cannot listen to signals", error)));
            }
        };
        // What a server's context is a child of. It ends with the group; the stop's phases are each server's own.
        let lifetime = Context::new();
        let (context, hint) = Context::root_with_hint(None);
        let stages: Vec<Context> = (0..=self.stage).map(|_| context.child()).collect();
        self.start_servers(&lifetime)?;
        let task_names: Vec<String> = self.tasks.iter().map(|task| task.name.clone()).collect();
        self.handle.control.expect_drains(self.drains.iter().map(|drain| (drain.stage, drain.name.clone())));
        self.start_tasks(&stages);
        let control = Arc::clone(&self.handle.control);
        tell(control.wait_for_the_end());
        // Contexts call back to users' code, which must not hold up the steps.
        cancel_aside(&hint);
        while let Some(step) = control.step() {
            if let Step::Followers(stage) = step {
                self.start_drains(stage);
                cancel_aside(&stages[stage]);
            }
            control.wait_for_step();
            tell(control.advance());
        }
        let servers: Vec<StopReport> = self.servers.iter().map(|server| server.part.wait()).collect();
        control.wait_for_the_rest();
        cancel_aside(&lifetime);
        let (tasks, drains) = control.take_outcomes(task_names);
        let report = GroupReport { servers, tasks, drains };
        match report.failure() {
            Some(cause) => Err(GroupError::new(report, cause)),
            None => Ok(report),
        }
    }

    fn start_servers(&self, lifetime: &Context) -> Result<(), GroupError> {
        let mut bindings = Vec::with_capacity(self.servers.len());
        for (number, server) in self.servers.iter().enumerate() {
            match server.part.bind() {
                Ok(binding) => bindings.push(binding),
                Err(error) => {
                    let mut report = self.report_of_no_start();
                    // The report blames this server, as it does for a failure while it serves.
                    report.servers[number].failure = Some(error.clone());
                    return Err(GroupError::new(report, error));
                }
            }
        }
        // Those behind the one that fails give their addresses back here: a server that is being started can't be waited for.
        let served = bindings.into_iter().try_for_each(|binding| binding.serve(Some(lifetime)));
        if let Err(error) = served {
            let servers = self.servers.iter().map(|server| server.part.stop(StopPolicy::now())).collect();
            return Err(GroupError::new(GroupReport { servers, ..GroupReport::default() }, error));
        }
        let handles: Vec<(usize, ServerHandle)> =
            self.servers.iter().map(|server| (server.stage, server.part.handle())).collect();
        self.handle.control.expect_servers(&handles);
        for (number, (_, handle)) in handles.iter().enumerate() {
            let control = Arc::clone(&self.handle.control);
            handle.when_stopped(Box::new(move || control.server_ended(number)));
        }
        Ok(())
    }

    /// Nothing has been started: the servers have not run, and there is nothing to tell of tasks and drains.
    fn report_of_no_start(&self) -> GroupReport {
        let servers = self.servers.iter().map(|server| StopReport::idle(&server.name)).collect();
        GroupReport { servers, ..GroupReport::default() }
    }

    fn start_tasks(&mut self, stages: &[Context]) {
        let control = &self.handle.control;
        control.expect_tasks(self.tasks.iter().map(|task| task.stage));
        for (number, Member { name, stage, part: body }) in self.tasks.drain(..).enumerate() {
            let context = stages[stage].child();
            let finish = {
                let control = Arc::clone(control);
                move |outcome| control.task_ended(number, outcome)
            };
            let refuse = finish.clone();
            let thread = move || {
                let result = catch(|| body(&context));
                finish(match &result {
                    Ok(Ok(())) => TaskOutcome::Finished,
                    Ok(Err(message)) => TaskOutcome::Failed(message.clone()),
                    Err(panic) => TaskOutcome::Failed(format!("panicked: {panic}")),
                });
                // The outcome is known by now: what the user's code has panicked with is dropped after that.
            };
            // Not joined: the outcome is the last thing that the thread gives, and it is waited for with a bound.
            if let Err(error) = thread::Builder::new().name(name).spawn(thread) {
                refuse(TaskOutcome::Failed(format!("no thread to be had: {error}")));
            }
        }
    }

    fn start_drains(&self, stage: usize) {
        let drains = self.drains.iter().enumerate().filter(|(_, drain)| drain.stage == stage);
        let drains = drains.map(|(number, drain)| (number, drain.name.clone(), Arc::clone(&drain.part)));
        self.handle.control.start_drains(drains.collect());
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
