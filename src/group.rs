//! Several servers, and what they feed, that start, fail and stop together.
//!
//! ```text
//!   bind all --ok--> serve all, start tasks --> wait for: a stop | a failure | the end of all servers (or tasks)
//!      |                    |                                      |
//!      +-- error ----> release all, return it        stage by stage: its servers drain, all at once;
//!                                                    then its tasks are cancelled and its drains emptied, all at once
//! ```
//!
//! All stages share the one time that the stop has: what the first has not used is left for the next.

mod control;
mod drain;
mod report;

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread,
};

pub use control::GroupHandle;
use control::{Ending, Until};
pub use drain::{Drain, Drained};
pub use report::{DrainOutcome, DrainReport, GroupReport, TaskOutcome, TaskReport};

use crate::{
    error::Error,
    pool::panic_text,
    rounded::Rounded,
    server::{Handle, Server},
    stop::{Cause, Context, Signal, SignalThread, StopPolicy, StopReport},
};

/// Servers and tasks that live and die together.
///
/// ```
/// use softstop::{Group, Request, Router, Server, StopPolicy, inline};
///
/// # fn main() -> Result<(), softstop::Error> {
/// let group = Group::new();
/// let stop = group.handle();
/// let routes = Router::new().get("/", inline(|_: &Request| "Hello!"));
/// let report = group
///     .server(Server::builder().name("hello").listen("127.0.0.1:0").routes(routes).build())
///     .task("one job, then all is over", move |_context| {
///         stop.stop(StopPolicy::default());
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
    /// the group's stop begins, the context itself when the servers of its stage have stopped, or their grace period is
    /// over. A task that returns `Ok` is done; one that returns an error or panics stops the group. (One that returns
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
    /// in what is left of the grace period.
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

    /// Begins the next stage of the stop: what is added from now on goes on undisturbed until everything before has
    /// ended, or the grace period is over, which all stages share. Within a stage all servers stop first, at once; then all drains are emptied and all tasks are
    /// cancelled, at once. So, without a single `then`, servers are followed by what they feed.
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
    #[must_use]
    pub fn policy(self, policy: StopPolicy) -> Self {
        self.handle.control.set_policy(policy);
        self
    }

    /// Stops the group on SIGINT and SIGTERM; a second one makes it a hard stop. From this call on, so that a signal
    /// during the start is not lost, until [`Group::run`] returns.
    #[must_use]
    pub fn stop_on_signals(self) -> Self {
        let handle = self.handle();
        let policy_of =
            move |_, count| Some(if count == 1 { handle.control.policy() } else { StopPolicy::now() });
        self.stop_on(&[Signal::Interrupt, Signal::Terminate], policy_of)
    }

    /// Stops the group on these signals, as `policy_of` says: it is told the signal and how many of them have come, this
    /// one included, and answers with the policy of the stop, or `None` for a signal that is to be ignored. In place
    /// of [`stop_on_signals`](Group::stop_on_signals), and from this call on as that.
    ///
    /// ```
    /// use softstop::{Group, Signal, StopPolicy};
    /// use std::time::Duration;
    ///
    /// // The service manager's is patient, the keyboard's is not, and a second one of any kind ends it at once.
    /// let group = Group::new().stop_on(&[Signal::Terminate, Signal::Interrupt], |signal, count| {
    ///     Some(match (signal, count) {
    ///         (Signal::Terminate, 1) => StopPolicy::default().lame_duck(Duration::from_secs(10)),
    ///         (_, 1) => StopPolicy::default().grace(Duration::from_secs(1)),
    ///         _ => StopPolicy::now(),
    ///     })
    /// });
    /// # drop(group);
    /// ```
    #[must_use]
    pub fn stop_on(
        mut self,
        signals: &[Signal],
        mut policy_of: impl FnMut(Signal, u32) -> Option<StopPolicy> + Send + 'static,
    ) -> Self {
        let handle = self.handle();
        let mut count = 0;
        // Whoever listened before goes first.
        self.signals = None;
        self.signals = Some(SignalThread::new(signals, move |signal| {
            count += 1;
            // A panic in there must not make the process deaf to signals.
            let policy = catch_unwind(AssertUnwindSafe(|| policy_of(signal, count)));
            let policy = policy.unwrap_or_else(|panic| {
                log::error!("{signal}: the choice of a policy panicked: {}", panic_text(&*panic));
                Some(handle.control.policy())
            });
            if let Some(policy) = policy {
                log::info!("{signal}: stopping within {}", Rounded(policy.longest()));
                handle.stop(policy);
            }
        }));
        self
    }

    /// A handle with which to stop the group from a handler, a task, another thread.
    #[must_use]
    pub fn handle(&self) -> GroupHandle {
        self.handle.clone()
    }

    /// Binds all servers, then starts them and the tasks, and waits for the end: a stop, a failure, or that all servers
    /// (in a group without servers, all tasks) have ended by themselves. Then everything is stopped, together.
    ///
    /// # Errors
    ///
    /// The first one: of a server that could not bind (then nothing has served, and the others' addresses are free
    /// again), of a server that failed later, or of a task. The rest of the group has been stopped gracefully by then.
    pub fn run(mut self) -> Result<GroupReport, Error> {
        let signals = self.signals.take().transpose();
        let _signals = signals.map_err(|error| Error::io("cannot listen to signals", error))?;
        // What a server's context is a child of. It ends with the group; the stop's phases are each server's own.
        let lifetime = Context::new();
        let (context, hint) = Context::root_with_hint(None);
        let stages: Vec<Context> = (0..=self.stage).map(|_| context.child()).collect();
        self.start_servers(&lifetime)?;
        let task_names: Vec<String> = self.tasks.iter().map(|task| task.name.clone()).collect();
        self.start_tasks(&stages);
        let control = Arc::clone(&self.handle.control);
        control.wait_for_the_end();
        control.begin_stop();
        hint.cancel(Cause::Stopping);
        for (stage, context) in stages.iter().enumerate() {
            control.enter_stage(stage).iter().for_each(|(server, policy)| server.stop(*policy));
            control.wait(Until::Grace, |ending| ending.servers_ended(stage));
            context.cancel(Cause::Stopping);
            self.start_drains(stage);
            let until = if stage == self.stage { Until::End } else { Until::Grace };
            control.wait(until, |ending| ending.others_ended(stage));
        }
        let servers: Vec<StopReport> = self.servers.iter().map(|server| server.part.wait()).collect();
        control.wait(Until::End, Ending::all_ended);
        lifetime.cancel(Cause::Stopping);
        let drain_names = self.drains.iter().map(|drain| drain.name.clone()).collect();
        let (tasks, drains) = control.take_outcomes(task_names, drain_names);
        let report = GroupReport { servers, tasks, drains };
        match report.failure() {
            Some(error) => {
                log::info!("{report}");
                Err(error)
            }
            None => Ok(report),
        }
    }

    fn start_servers(&self, lifetime: &Context) -> Result<(), Error> {
        let bindings = self.servers.iter().map(|server| server.part.bind()).collect::<Result<Vec<_>, _>>()?;
        // Those behind the one that fails give their addresses back here: a server that is being started can't be waited for.
        let served = bindings.into_iter().try_for_each(|binding| binding.serve(Some(lifetime)));
        if let Err(error) = served {
            self.servers.iter().for_each(|server| drop(server.part.stop(StopPolicy::now())));
            return Err(error);
        }
        let handles: Vec<(usize, Handle)> =
            self.servers.iter().map(|server| (server.stage, server.part.handle())).collect();
        self.handle.control.watch(&handles);
        for (number, (_, handle)) in handles.iter().enumerate() {
            let control = Arc::clone(&self.handle.control);
            handle.when_stopped(Box::new(move || control.server_ended(number)));
        }
        Ok(())
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
                let result = catch_unwind(AssertUnwindSafe(|| body(&context)));
                finish(match result {
                    Ok(Ok(())) => TaskOutcome::Finished,
                    Ok(Err(message)) => TaskOutcome::Failed(message),
                    Err(panic) => TaskOutcome::Failed(format!("panicked: {}", panic_text(&*panic))),
                });
            };
            // Not joined: the outcome is the last thing that the thread gives, and it is waited for with a bound.
            if let Err(error) = thread::Builder::new().name(name).spawn(thread) {
                refuse(TaskOutcome::Failed(format!("no thread to be had: {error}")));
            }
        }
    }

    fn start_drains(&self, stage: usize) {
        let control = &self.handle.control;
        let drains = self.drains.iter().filter(|drain| drain.stage == stage);
        control
            .start_drains(stage, drains.map(|drain| (drain.name.clone(), Arc::clone(&drain.part))).collect());
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
