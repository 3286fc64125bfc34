//! The state that the threads of a handover share with the group.
//!
//! ```text
//!                 serving()                     replace, reload                        yours
//!   Starting ─────────────────────> InCharge ────────────────> Replacing ──────────────────────> HandedOver
//!       └──> TakingOver ──────────────^  ^─────────────────────────┘
//!              ready, until yours            new was ended
//!
//!   Starting, TakingOver, InCharge, HandedOver ──> Stopping: the group stops; no handover begins any more
//! ```
//!
//! A stop that comes while the process is `Replacing` waits until the new process has been ended, because the listeners are
//! not ours alone before. The thread of the handover then passes the stop on, with the moment at which it was asked for.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use super::{
    HandoverError, HandoverErrorKind, Takeover,
    channel::Bell,
    companion::Prepared,
    control::ControlListener,
    event::{HandoverEvent, Watcher},
    started_as::StartedAs,
};
use crate::{
    group::GroupHandle,
    isolation::journal,
    rounded::Rounded,
    server::ServerHandle,
    stop::StopPolicy,
    sync::{lock, wait},
};

/// How long the end of a group waits for answers that are being written at the control socket. Longer than
/// [`CHARGED`](super::offering::CHARGED), so that a client of `reload` has its answer even if the drain takes no time.
const LAST_ANSWERS: Duration = Duration::from_millis(1500);

/// Everything about the handovers of one group.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(super) started: StartedAs,
    pub(super) setup: Mutex<Setup>,
    state: Mutex<State>,
    /// Notified when the group has ended, and when a thread of the handover ends.
    changed: Condvar,
}

/// What was set before the group runs.
#[derive(Debug, Default)]
pub(super) struct Setup {
    pub(super) control: Option<PathBuf>,
    pub(super) takeover: Option<Takeover>,
    pub(super) prepared: Option<Prepared>,
    pub(super) watcher: Watcher,
}

#[derive(Debug)]
struct State {
    role: Role,
    generation: u32,
    older: Option<Older>,
    servers: Vec<ServerHandle>,
    /// The control socket, while this process answers there.
    control: Option<Arc<ControlListener>>,
    /// Rung when the group has ended.
    over: Option<Arc<Bell>>,
    /// How the group has ended.
    ended: Option<Ended>,
    /// Threads that may still have something to say when the group has ended.
    speakers: usize,
}

#[derive(Debug)]
enum Role {
    Starting,
    TakingOver,
    InCharge,
    Replacing { bell: Arc<Bell>, until: Instant, stop: Option<(StopPolicy, Instant)> },
    HandedOver { pid: u32 },
    Stopping,
}

/// A process that has handed over to this one, and still drains.
#[derive(Debug, Clone)]
pub(super) struct Older {
    pub(super) generation: u32,
    pub(super) pid: u32,
    pub(super) until: Instant,
    /// What its drain waits for.
    pub(super) waits: String,
}

/// How a group has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Clean,
    Unclean,
}

/// A thread that may still have something to say when the group has ended. The end of the group waits for it.
pub(super) struct Speaker(Arc<Handover>);

impl Drop for Speaker {
    fn drop(&mut self) {
        lock(&self.0.state).speakers -= 1;
        self.0.changed.notify_all();
    }
}

/// What a stop does now.
pub(super) enum StopAnswer {
    /// The group stops now.
    Now,
    /// The thread of the handover passes the stop on.
    Later,
}

impl Handover {
    pub(super) fn new() -> Handover {
        Handover {
            started: StartedAs::now(),
            setup: Mutex::default(),
            state: Mutex::new(State {
                role: Role::Starting,
                generation: 1,
                older: None,
                servers: Vec::new(),
                control: None,
                over: None,
                ended: None,
                speakers: 0,
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn watcher(&self) -> Watcher {
        lock(&self.setup).watcher.clone()
    }

    pub(super) fn servers(&self) -> Vec<ServerHandle> {
        lock(&self.state).servers.clone()
    }

    pub(super) fn generation(&self) -> u32 {
        lock(&self.state).generation
    }

    /// The bell that rings when the group has ended.
    pub(super) fn over(&self) -> Option<Arc<Bell>> {
        lock(&self.state).over.clone()
    }

    pub(super) fn older(&self) -> Option<Older> {
        lock(&self.state).older.clone()
    }

    /// What the process does, in a word for people.
    pub(super) fn role(&self) -> &'static str {
        match lock(&self.state).role {
            Role::Starting => "starting",
            Role::TakingOver => "taking over",
            Role::InCharge => "running",
            Role::Replacing { .. } => "being replaced",
            Role::HandedOver { .. } => "handed over",
            Role::Stopping => "stopping",
        }
    }

    /// Counts a thread that the end of the group waits for.
    pub(super) fn speaker(self: &Arc<Handover>) -> Speaker {
        lock(&self.state).speakers += 1;
        Speaker(Arc::clone(self))
    }

    // ---- starting ---------------------------------------------------------------------------------------------

    /// The servers serve. `takes_over`: another process has to say `yours` first.
    pub(super) fn starts(
        &self,
        servers: Vec<ServerHandle>,
        over: Arc<Bell>,
        generation: u32,
        takes_over: bool,
    ) {
        let mut state = lock(&self.state);
        state.servers = servers;
        state.over = Some(over);
        state.generation = generation;
        if matches!(state.role, Role::Starting) {
            state.role = if takes_over { Role::TakingOver } else { Role::InCharge };
        }
    }

    /// This process is the one that serves.
    pub(super) fn takes_charge(&self, older: Option<Older>) {
        let mut state = lock(&self.state);
        state.older = older;
        if matches!(state.role, Role::TakingOver) {
            state.role = Role::InCharge;
        }
    }

    /// The older process has said what its drain waits for.
    pub(super) fn note_older(&self, waits: String) {
        if let Some(older) = &mut lock(&self.state).older {
            older.waits = waits;
        }
    }

    pub(super) fn older_ended(&self) -> Option<Older> {
        lock(&self.state).older.take()
    }

    // ---- the control socket -----------------------------------------------------------------------------------

    pub(super) fn has_control(&self) -> Option<Arc<ControlListener>> {
        lock(&self.state).control.clone()
    }

    pub(super) fn keep_control(&self, listener: Option<Arc<ControlListener>>) {
        lock(&self.state).control = listener;
    }

    pub(super) fn take_control(&self) -> Option<Arc<ControlListener>> {
        lock(&self.state).control.take()
    }

    // ---- being replaced ---------------------------------------------------------------------------------------

    /// Begins a handover. Returns the bell that a stop rings.
    pub(super) fn begin_replacing(&self, until: Instant) -> Result<Arc<Bell>, HandoverError> {
        if std::process::id() == 1 {
            return Err(HandoverError::new(
                HandoverErrorKind::Misuse,
                "process 1 of a container cannot be replaced, because the kernel ends every process of the container with \
                 it: replace the container",
            ));
        }
        let bell = Bell::new().map_err(|error| {
            HandoverError::io(HandoverErrorKind::NotStarted, "no descriptor for a handover", &error)
        })?;
        let mut state = lock(&self.state);
        let now = Instant::now();
        let left = |until: Instant| Rounded(until.saturating_duration_since(now)).to_string();
        let busy = |text: String| Err(HandoverError::new(HandoverErrorKind::Busy, text));
        let stopping = |text: String| Err(HandoverError::new(HandoverErrorKind::Stopping, text));
        match (&state.role, &state.older) {
            (Role::Replacing { until, .. }, _) => {
                busy(format!("another handover is under way, for at most {}", left(*until)))
            }
            (Role::Starting | Role::TakingOver, _) => busy("this process is only just starting".to_owned()),
            (Role::HandedOver { pid }, _) => {
                stopping(format!("this process has handed over to process {pid}, and drains"))
            }
            (Role::Stopping, _) => stopping("this process is stopping".to_owned()),
            (Role::InCharge, Some(older)) if older.until < now => busy(format!(
                "generation {} (pid {}) should have ended by now: end it, then try again",
                older.generation, older.pid
            )),
            (Role::InCharge, Some(older)) => busy(format!(
                "generation {} (pid {}) still drains, for at most {}",
                older.generation,
                older.pid,
                left(older.until)
            )),
            (Role::InCharge, None) => {
                let bell = Arc::new(bell);
                state.role = Role::Replacing { bell: Arc::clone(&bell), until, stop: None };
                Ok(bell)
            }
        }
    }

    /// The new process is ready. Fails if a stop was asked for meanwhile.
    pub(super) fn hands_over(&self, pid: u32) -> Result<(), StopAsked> {
        let mut state = lock(&self.state);
        match &state.role {
            Role::Replacing { stop: None, .. } => {
                state.role = Role::HandedOver { pid };
                Ok(())
            }
            _ => Err(StopAsked),
        }
    }

    /// The new process has been ended. Returns the stop that has waited for that.
    pub(super) fn serves_on(&self) -> Option<(StopPolicy, Instant)> {
        let mut state = lock(&self.state);
        let stop = match &state.role {
            Role::Replacing { stop, .. } => *stop,
            Role::HandedOver { .. } => None,
            _ => return None,
        };
        state.role = if stop.is_some() { Role::Stopping } else { Role::InCharge };
        stop
    }

    // ---- stopping ---------------------------------------------------------------------------------------------

    /// Somebody asks the group to stop.
    pub(super) fn on_stop(&self, policy: &StopPolicy, at: Instant) -> StopAnswer {
        let mut state = lock(&self.state);
        match &mut state.role {
            Role::Replacing { bell, stop, .. } => {
                // The moment of the first one counts, and the strictest times.
                *stop = Some(stop.map_or((*policy, at), |(known, first)| (known.stricter(policy), first)));
                bell.ring();
                StopAnswer::Later
            }
            Role::HandedOver { .. } => StopAnswer::Now,
            Role::Starting | Role::TakingOver | Role::InCharge | Role::Stopping => {
                state.role = Role::Stopping;
                StopAnswer::Now
            }
        }
    }

    /// The group stops, for whatever reason.
    pub(super) fn stops(&self) {
        let mut state = lock(&self.state);
        match &mut state.role {
            Role::Replacing { bell, stop, .. } => {
                stop.get_or_insert((StopPolicy::default(), Instant::now()));
                bell.ring();
            }
            Role::HandedOver { .. } => {}
            role => *role = Role::Stopping,
        }
    }

    /// The group has ended. Waits a moment for the threads that tell others about that.
    pub(super) fn ends(&self, ended: Ended) {
        let control = {
            let mut state = lock(&self.state);
            state.ended = Some(ended);
            if let Some(over) = &state.over {
                over.ring();
            }
            state.control.take()
        };
        if let Some(control) = control {
            control.close();
        }
        self.changed.notify_all();
        let until = Instant::now() + LAST_ANSWERS;
        let mut state = lock(&self.state);
        while state.speakers > 0 {
            match wait(&self.changed, state, Some(until)) {
                Ok(guard) => state = guard,
                Err(_) => {
                    journal::debug!("a client of the control socket does not take its answer");
                    return;
                }
            }
        }
    }

    /// Waits until the group has ended, but not past `until`.
    pub(super) fn wait_ended(&self, until: Instant) -> Option<Ended> {
        let mut state = lock(&self.state);
        while state.ended.is_none() {
            match wait(&self.changed, state, Some(until)) {
                Ok(guard) => state = guard,
                Err(guard) => return guard.ended,
            }
        }
        state.ended
    }

    pub(super) fn tell(&self, event: &HandoverEvent) {
        self.watcher().tell(event);
    }
}

/// A stop was asked for while the new process initialised.
#[derive(Debug)]
pub(super) struct StopAsked;

/// What the threads of a handover need of the group.
#[derive(Clone, Debug)]
pub(super) struct Of {
    pub(super) handover: Arc<Handover>,
    pub(super) group: GroupHandle,
}
