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

mod replacing;
mod stopping;

use std::{
    os::fd::OwnedFd,
    path::PathBuf,
    sync::{Arc, Condvar, Mutex},
    time::Instant,
};

use super::{
    Takeover, channel::Bell, companion::Prepared, control::ControlListener, event::Watcher,
    started_as::StartedAs, telling::Telling,
};
use crate::{group::GroupHandle, server::ServerHandle, stop::StopPolicy, sync::lock};

/// Everything about the handovers of one group.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(super) started: StartedAs,
    pub(super) setup: Mutex<Setup>,
    pub(super) telling: Mutex<Telling>,
    state: Mutex<State>,
    /// Notified when the group has ended, when a thread of the handover ends, when the older process has ended, and when a stop
    /// is asked for.
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
    /// When the strictest stop is over that somebody has asked for.
    stop_by: Option<Instant>,
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
    Replacing { bell: Arc<Bell>, until: Instant, stop: Option<PutOff> },
    HandedOver { pid: u32 },
    Stopping,
}

/// A stop that came during a handover, and so waits until the new process has been ended.
#[derive(Debug, Clone, Copy)]
enum PutOff {
    /// Somebody has asked for it, with this policy at this moment.
    Asked(StopPolicy, Instant),
    /// The group has begun it by itself, and knows its policy.
    Begun,
}

/// A process that has handed over to this one, and still drains.
#[derive(Debug, Clone)]
pub(super) struct Older {
    pub(super) generation: u32,
    pub(super) pid: u32,
    pub(super) until: Instant,
    /// Readable when the process is gone. `None` if the kernel cannot tell.
    pub(super) process: Option<Arc<OwnedFd>>,
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

/// How a process begins.
pub(super) enum Beginning {
    Alone,
    /// Another process has to say `yours` first.
    Takeover,
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
            telling: Mutex::default(),
            state: Mutex::new(State {
                role: Role::Starting,
                generation: 1,
                older: None,
                stop_by: None,
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

    /// The servers serve. Fails if a stop was asked for before.
    pub(super) fn starts(
        &self,
        servers: Vec<ServerHandle>,
        over: Arc<Bell>,
        generation: u32,
        beginning: Beginning,
    ) -> Result<(), StopAsked> {
        let mut state = lock(&self.state);
        state.servers = servers;
        state.over = Some(over);
        state.generation = generation;
        if !matches!(state.role, Role::Starting) {
            return Err(StopAsked);
        }
        state.role = match beginning {
            Beginning::Alone => Role::InCharge,
            Beginning::Takeover => Role::TakingOver,
        };
        Ok(())
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
        let older = lock(&self.state).older.take();
        self.changed.notify_all();
        older
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
}

/// A stop was asked for before.
#[derive(Debug)]
pub(super) struct StopAsked;

/// What the threads of a handover need of the group.
#[derive(Clone, Debug)]
pub(super) struct Of {
    pub(super) handover: Arc<Handover>,
    pub(super) group: GroupHandle,
}
