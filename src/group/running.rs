//! A group's run: start, wait, stop step by step, report.
//!
//! ```text
//!   bind all ──ok──> serve all, start tasks ──> wait for: a stop | a failure | the end of all servers (or tasks)
//!      |                    |                                      |
//!      +── error ────> release all, return it        step by step: the servers of a stage drain, all at once;
//!                                                    then its tasks are cancelled and its drains emptied, all at once
//! ```

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{
    Companion, Group, GroupError, GroupReport, TaskOutcome, TaskReport, aside, companion::Given,
    lifecycle::tell, schedule::Step, task,
};
use crate::{
    error::Error,
    isolation::{contain::Contained, joining::join_until, journal},
    server::ServerHandle,
    stop::{Context, StopPolicy, StopReport},
};

/// How long the group waits at least until the members' values are dropped, however short the bound of the stop.
const LEAVING: Duration = Duration::from_secs(1);

/// The companion of a group that has ended. At its drop the companion lets go of the user's values.
struct Released(Arc<dyn Companion>);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.lets_go();
    }
}

impl Group {
    /// Binds all servers, then starts them and the tasks, and waits for the end: a stop, a failure, or that all servers
    /// (in a group without servers, all tasks) have ended by themselves. Then everything is stopped, stage by stage.
    ///
    /// At last the values that the members own are dropped, on another thread. The group waits for that, but not longer than
    /// the bound of the stop and a second.
    ///
    /// The report is there in both cases:
    ///
    /// ```
    /// # use softstop::Group;
    /// # let group = Group::new();
    /// let outcome = group.run();
    /// let report = outcome.as_ref().unwrap_or_else(|error| error.report());
    /// println!("{report}");
    /// outcome?; // `main` shows the cause
    /// # Ok::<(), softstop::group::GroupError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`GroupError`] has the cause, and the reports of all members:
    /// - A server could not bind. Then nothing has served, and the other addresses are free again.
    /// - A server or a task failed later. The rest of the group has been stopped gracefully by then.
    pub fn run(mut self) -> Result<GroupReport, GroupError> {
        let outcome = self.run_to_the_end();
        self.drop_members();
        outcome
    }

    /// Drops the members, which own handlers, observers and drains. These are a user's values, whose `Drop` may panic or
    /// block. The caller waits for that, but not much longer than the stop lasts.
    fn drop_members(self) {
        let now = Instant::now();
        let until = self.handle.lifecycle.end().map_or(now, |end| end.max(now)) + LEAVING;
        let companion = self.handle.lifecycle.companion.get();
        let group = Contained::new((self, companion.map(Released)));
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
        // Held until the end, so that a further signal makes the stop stricter.
        let _signals = match self.signals.take().transpose() {
            Ok(signals) => signals,
            Err(error) => {
                let report = self.report_of_no_start();
                return Err(GroupError::new(report, Error::io("cannot listen to signals", error)));
            }
        };
        // The parent of each server's context. It ends with the group. The phases of a stop are each server's own.
        let lifetime = Context::new();
        let (context, hint) = Context::root_with_hint(None);
        let stages: Vec<Context> = (0..=self.stage).map(|_| context.child()).collect();
        let companion = self.handle.lifecycle.companion.get();
        if let Err(error) = self.start_servers(&lifetime, companion.as_ref()) {
            if let Some(companion) = companion {
                companion.has_failed_to_start(error.cause());
            }
            return Err(error);
        }
        let lifecycle = Arc::clone(&self.handle.lifecycle);
        lifecycle.expect_drains(self.drains.iter().map(|drain| (drain.stage, drain.name.clone())));
        task::start(std::mem::take(&mut self.tasks), &lifecycle, &stages);
        self.when_serving.call("when serving", &self.handle);
        let servers = lifecycle.wait_for_stop();
        // Before the servers hear of a stop that nobody has asked for, because they close their listeners then.
        if let Some(companion) = &companion {
            companion.stops();
        }
        tell(servers);
        self.when_stopping.call("when stopping", &self.handle);
        // Contexts call back to users' code, which must not hold up the steps.
        aside::cancel(&hint);
        while let Some(step) = lifecycle.step() {
            if let Step::Followers(stage) = step {
                self.start_drains(stage);
                aside::cancel(&stages[stage]);
            }
            lifecycle.wait_for_step();
            tell(lifecycle.advance());
        }
        let servers: Vec<StopReport> = self.servers.iter().map(|server| server.part.wait()).collect();
        lifecycle.wait_for_the_rest();
        aside::cancel(&lifetime);
        let left_behind = companion.as_ref().and_then(|companion| {
            let name = companion.finishes(lifecycle.end().unwrap_or_else(Instant::now))?;
            Some(TaskReport { name, outcome: TaskOutcome::LeftBehind })
        });
        let (mut tasks, drains) = lifecycle.take_reports();
        tasks.extend(left_behind);
        let report = GroupReport { servers, tasks, drains };
        if let Some(companion) = &companion {
            companion.has_ended(report.is_clean());
        }
        match report.failure() {
            Some(cause) => Err(GroupError::new(report, cause)),
            None => Ok(report),
        }
    }

    fn start_servers(
        &self,
        lifetime: &Context,
        companion: Option<&Arc<dyn Companion>>,
    ) -> Result<(), GroupError> {
        let no_start = |error| GroupError::new(self.report_of_no_start(), error);
        let given = companion.map_or_else(|| Ok(Given::default()), |companion| companion.begin());
        let mut given = given.map_err(no_start)?;
        let names: Vec<String> = self.servers.iter().map(|server| server.name.clone()).collect();
        let mut bindings = Vec::with_capacity(self.servers.len());
        for (number, server) in self.servers.iter().enumerate() {
            let mut of_server = given.take_for(&server.name, &names);
            let bound = server.part.bind_with(&mut of_server);
            given.put_back(of_server);
            match bound {
                Ok(binding) => bindings.push(binding),
                Err(error) => {
                    let mut report = self.report_of_no_start();
                    // The report blames this server, as it does for a failure while the server runs.
                    report.servers[number].failure = Some(error.clone());
                    return Err(GroupError::new(report, error));
                }
            }
        }
        // Before the first request is served, because its handler may set the readiness of the group.
        let handles: Vec<(usize, ServerHandle)> =
            self.servers.iter().map(|server| (server.stage, server.part.handle())).collect();
        self.handle.lifecycle.expect_servers(&handles);
        // The bindings after the one that fails are dropped here, which frees their addresses. The stop below needs that,
        // because it would wait for a server that is still being started.
        let served = bindings.into_iter().try_for_each(|binding| binding.serve(Some(lifetime)));
        if let Err(error) = served {
            self.handle.lifecycle.expect_servers(&[]);
            let servers = self.servers.iter().map(|server| server.part.stop(StopPolicy::now())).collect();
            return Err(GroupError::new(GroupReport { servers, ..GroupReport::default() }, error));
        }
        for (number, (_, handle)) in handles.iter().enumerate() {
            let lifecycle = Arc::clone(&self.handle.lifecycle);
            handle.when_stopped(Box::new(move || lifecycle.server_ended(number)));
        }
        let Some(companion) = companion else { return Ok(()) };
        let servers = handles.into_iter().map(|(_, handle)| handle).collect();
        Arc::clone(companion).serves(&self.handle, servers, given.into_listeners()).map_err(|error| {
            let servers = self.servers.iter().map(|server| server.part.stop(StopPolicy::now())).collect();
            GroupError::new(GroupReport { servers, ..GroupReport::default() }, error)
        })
    }

    /// The report of a group that could not start: its servers have not run, and there is nothing to say about tasks and
    /// drains.
    fn report_of_no_start(&self) -> GroupReport {
        let servers = self.servers.iter().map(|server| StopReport::idle(&server.name)).collect();
        GroupReport { servers, ..GroupReport::default() }
    }

    fn start_drains(&self, stage: usize) {
        let drains = self.drains.iter().enumerate().filter(|(_, drain)| drain.stage == stage);
        let drains = drains.map(|(number, drain)| (number, drain.name.clone(), Arc::clone(&drain.part)));
        self.handle.lifecycle.start_drains(drains.collect());
    }
}
