//! Several servers and tasks that start, fail and stop together.
//!
//! ```text
//!   bind all --ok--> serve all, start tasks --> wait for: a stop | a failure | the end of all servers (or tasks)
//!      |                    |                                      |
//!      +-- error ----> release all, return it        stop all servers at once, wait for them;
//!                                                    cancel the tasks' context, wait for them
//! ```

mod drain;
mod report;

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Instant,
};

pub use drain::{Drain, Drained};
pub use report::{GroupReport, TaskOutcome, TaskReport};

use crate::{
    error::Error,
    pool::panic_text,
    server::{Handle, Server},
    stop::{Cause, Context, SignalThread, StopPolicy, StopReport},
    sync::lock,
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
    servers: Vec<Server>,
    tasks: Vec<Task>,
    handle: GroupHandle,
    signals: Option<io::Result<SignalThread>>,
    context: Context,
}

/// Stops a [`Group`] from anywhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct GroupHandle {
    control: Arc<Control>,
}

struct Control {
    state: Mutex<State>,
    changed: Condvar,
    hint: Context,
}

#[derive(Default)]
struct State {
    /// Of a stop that a signal or a failure begins.
    policy: StopPolicy,
    /// The strictest stop so far, and when the first one came.
    stop: Option<(StopPolicy, Instant)>,
    servers: Vec<Handle>,
    servers_left: usize,
    tasks_left: usize,
    outcomes: Vec<TaskReport>,
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

struct Task {
    name: String,
    body: TaskBody,
}

impl Group {
    /// A group of nobody yet.
    #[must_use]
    pub fn new() -> Group {
        let (context, hint) = Context::root_with_hint(None);
        let control = Control { state: Mutex::default(), changed: Condvar::new(), hint };
        Group {
            servers: Vec::new(),
            tasks: Vec::new(),
            handle: GroupHandle { control: Arc::new(control) },
            signals: None,
            context,
        }
    }

    /// Adds a server, which must not be running.
    #[must_use]
    pub fn server(mut self, server: Server) -> Self {
        self.servers.push(server);
        self
    }

    /// Adds a task: a thread of its own that runs beside the servers. Its context says when to end: `stopping()` when
    /// the group's stop begins, the context itself when the servers have stopped. A task that returns `Ok` is done; one
    /// that returns an error or panics stops the group. (One that returns nothing cannot fail but by a panic.)
    #[must_use]
    pub fn task<R: TaskResult>(
        mut self,
        name: impl Into<String>,
        body: impl FnOnce(&Context) -> R + Send + 'static,
    ) -> Self {
        let body: TaskBody = Box::new(move |context| body(context).into_result());
        self.tasks.push(Task { name: name.into(), body });
        self
    }

    /// The policy of a stop that a signal or a failure begins. Default [`StopPolicy::default`].
    #[must_use]
    pub fn policy(self, policy: StopPolicy) -> Self {
        lock(&self.handle.control.state).policy = policy;
        self
    }

    /// Stops the group on SIGINT and SIGTERM; a second one makes it a hard stop. From this call on, so that a signal
    /// during the start is not lost, until [`Group::run`] returns.
    #[must_use]
    pub fn stop_on_signals(mut self) -> Self {
        let handle = self.handle();
        let mut signals = 0;
        self.signals = Some(SignalThread::new(move |name| {
            signals += 1;
            let policy = if signals == 1 { handle.policy() } else { StopPolicy::now() };
            log::info!("{name}: stopping within {:?}", policy.longest());
            handle.stop(policy);
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
        self.start_servers()?;
        let tasks: Vec<String> = self.tasks.iter().map(|task| task.name.clone()).collect();
        self.start_tasks();
        self.wait_for_the_end();
        self.handle.stop(self.handle.policy());

        let servers: Vec<StopReport> = self.servers.iter().map(Server::wait).collect();
        self.context.cancel(Cause::Stopping);
        let tasks = self.wait_for_tasks(tasks);
        let report = GroupReport { servers, tasks };
        match report.failure() {
            Some(error) => {
                log::info!("{report}");
                Err(error)
            }
            None => Ok(report),
        }
    }

    fn start_servers(&self) -> Result<(), Error> {
        let bindings = self.servers.iter().map(Server::bind).collect::<Result<Vec<_>, _>>()?;
        // Those behind the one that fails give their addresses back here: a server that is being started can't be waited for.
        let served = bindings.into_iter().try_for_each(|binding| binding.serve(Some(&self.context)));
        if let Err(error) = served {
            self.servers.iter().for_each(|server| drop(server.stop(StopPolicy::now())));
            return Err(error);
        }
        let control = &self.handle.control;
        let handles: Vec<Handle> = self.servers.iter().map(Server::handle).collect();
        let early_stop = {
            let mut state = lock(&control.state);
            state.servers_left = handles.len();
            state.servers.clone_from(&handles);
            state.stop
        };
        for handle in &handles {
            let control = Arc::clone(control);
            handle.when_stopped(Box::new(move || {
                lock(&control.state).servers_left -= 1;
                control.changed.notify_all();
            }));
            if let Some((policy, _)) = early_stop {
                handle.stop(policy);
            }
        }
        Ok(())
    }

    fn start_tasks(&mut self) {
        let control = &self.handle.control;
        lock(&control.state).tasks_left = self.tasks.len();
        for Task { name, body } in self.tasks.drain(..) {
            let finish = {
                let (control, name) = (Arc::clone(control), name.clone());
                move |outcome| {
                    let mut state = lock(&control.state);
                    state.tasks_left -= 1;
                    state.outcomes.push(TaskReport { name, outcome });
                    drop(state);
                    control.changed.notify_all();
                }
            };
            let context = self.context.child();
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

    fn wait_for_the_end(&self) {
        let control = &self.handle.control;
        let mut state = lock(&control.state);
        let failed = |report: &TaskReport| matches!(report.outcome, TaskOutcome::Failed(_));
        loop {
            let somebody_failed = state.outcomes.iter().any(failed);
            let nobody_left =
                if self.servers.is_empty() { state.tasks_left } else { state.servers_left } == 0;
            if state.stop.is_some() || somebody_failed || nobody_left || state.server_failed() {
                return;
            }
            state = control.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The tasks' reports, in the order of `names`; those that do not return in time are left behind.
    fn wait_for_tasks(&self, names: Vec<String>) -> Vec<TaskReport> {
        let control = &self.handle.control;
        let mut state = lock(&control.state);
        let now = Instant::now();
        while state.tasks_left > 0 {
            // A second stop may have come meanwhile, so the bound is computed anew each time.
            let (policy, asked) = state.stop.unwrap_or((state.policy, now));
            let until = (asked + policy.longest()).max(now + policy.cancel_grace);
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = control.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let mut outcomes = std::mem::take(&mut state.outcomes);
        let outcome_of = |name: String| match outcomes.iter().position(|outcome| outcome.name == name) {
            Some(position) => outcomes.swap_remove(position),
            None => TaskReport { name, outcome: TaskOutcome::LeftBehind },
        };
        names.into_iter().map(outcome_of).collect()
    }
}

impl Default for Group {
    fn default() -> Self {
        Group::new()
    }
}

impl State {
    /// Whether a server has ended though nobody asked it to.
    fn server_failed(&self) -> bool {
        self.servers_left < self.servers.len() && self.servers.iter().any(Handle::has_failed)
    }
}

impl GroupHandle {
    fn policy(&self) -> StopPolicy {
        lock(&self.control.state).policy
    }

    /// Asks the whole group to stop, and returns at once. The strictest of several stops wins. A stop that comes before
    /// [`Group::run`] is remembered.
    pub fn stop(&self, policy: StopPolicy) {
        let servers = {
            let mut state = lock(&self.control.state);
            let stop = match state.stop {
                Some((known, asked)) => (known.stricter(&policy), asked),
                None => (policy, Instant::now()),
            };
            state.stop = Some(stop);
            state.servers.clone()
        };
        servers.iter().for_each(|server| server.stop(policy));
        self.control.hint.cancel(Cause::Stopping);
        self.control.changed.notify_all();
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("Control").field("stop", &state.stop).field("servers", &state.servers).finish()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("name", &self.name).finish_non_exhaustive()
    }
}
