//! Handover: a running process is replaced by a new one, and there is no moment without a server.
//!
//! The old process gives copies of its listeners to the new one (`SCM_RIGHTS`). Both accept from the same queue until the new
//! process is ready. Then the old one drains, and never closes what it has handed over. Linux alone.
//!
//! ```text
//!   old:  in charge ──> replacing (deadline) ──> handed over ──> drains ──> gone
//!   new:  adopt ──> initialise ──> accept ──> READY ──> (YOURS) ──> in charge
//! ```
//!
//! | begin with | for |
//! | --- | --- |
//! | [`Group::control`] | a control socket: `softstop status`, `reload` and `stop` find it there |
//! | [`GroupHandle::replace`] | the old process: start the new one, and hand over |
//! | [`Takeover`] and [`Group::takeover`] | the new process |
//! | [`HandoverEvent`] and [`Group::on_handover`] | being told |
//! | [`Control`] | asking a process at its control socket |
//!
//! # What is guaranteed
//!
//! | | |
//! | --- | --- |
//! | new cannot be executed, exits, hangs, or is killed before it is ready | Old serves on, and says why. If old has started new, new is killed and reaped. If new has connected by itself, new is told to give up. |
//! | old is asked to stop, or stops by itself, while new initialises | New is ended first, as above. Then old stops as usual. If new does not end within a second, old stops all the same, and leaves the listeners to new. |
//! | old dies before new has everything, or before it has said `yours` | New serves alone. |
//! | new dies after `yours` | Old drains on and says so, and does not reap new. A supervisor that is told of new (`MAINPID=`) sees the end of new when old has ended, and starts another process. |
//! | new is asked to stop while old drains | New stops, and ends after old: within its own policy. The report names an old process that is left behind. |
//! | a second handover, while one runs or an older process drains | It is refused, with the reason and the time. |
//! | the addresses differ | New takes what it wants and binds the rest. Old drains what new does not want, without a loss. |
//!
//! **Not handed over:** connections. Requests in flight, streams and upgraded connections stay in the old process, which
//! finishes them within its stop policy.
//!
//! **Your part:** a program that can be replaced asks for a [`Takeover`] first. State that two processes must not have at the
//! same time (a lock file, a database of one writer) has to be acquired after [`HandoverEvent::InCharge`].
//!
//! # How it works inside
//!
//! | file | |
//! | --- | --- |
//! | `protocol` | lines, messages and states of both sides, without sockets |
//! | `channel` | a Unix socket with lines and descriptors |
//! | `state` | what the threads share with the group |
//! | `telling` | the callbacks of the program |
//! | `offering`, `replacement`, `started_as` | the old process |
//! | `takeover`, `taking` | the new process |
//! | `control` | the control socket, and its client |

mod channel;
mod companion;
mod control;
mod error;
mod event;
mod news;
mod offering;
mod protocol;
mod replacement;
mod started_as;
mod state;
mod takeover;
mod taking;
mod telling;

use std::{path::PathBuf, sync::Arc};

pub use self::{
    control::{Control, OlderStatus, ServerStatus, Status, Stopped},
    error::{HandoverError, HandoverErrorKind},
    event::HandoverEvent,
    replacement::{Replaced, Replacement},
    takeover::Takeover,
};

use self::{
    news::{News, news},
    state::{Handover, Of, Older},
};
use crate::{
    group::{Group, GroupHandle},
    isolation::journal,
    stop::Phase,
    sync::lock,
};

impl Group {
    /// Answers at a control socket: a Unix socket at `path`, to which only this user and root can connect. `softstop status`,
    /// `softstop reload`, `softstop stop` and [`Control`] ask there.
    ///
    /// The socket exists from the start of the group to its end. A handover hands it over, so its path never vanishes.
    /// [`run`](Group::run) fails if another process answers there, or the path is a file of another kind.
    ///
    /// Call this method, or [`replaceable`](Group::replaceable), before the program changes its working directory: the path of
    /// the program and the directory are noted for the successor.
    #[must_use]
    pub fn control(self, path: impl Into<PathBuf>) -> Self {
        let group = self.replaceable();
        let handover = group.handover();
        lock(&handover.setup).control = Some(handover.started.absolute(&path.into()));
        group
    }

    /// Notes how this program was started, so that [`GroupHandle::replace`] can start its successor. [`control`](Group::control)
    /// does this, too.
    #[must_use]
    pub fn replaceable(self) -> Self {
        if let Err(text) = self.handover().started.look_at_directory() {
            journal::warn!("this process cannot be replaced by its program: {text}");
        }
        self
    }

    /// Uses the listeners of the process that this one replaces, and takes its control socket over.
    ///
    /// When all servers serve, the group tells the old process, which then drains. See [`Takeover`].
    #[must_use]
    pub fn takeover(self, takeover: Takeover) -> Self {
        lock(&self.handover().setup).takeover = Some(takeover);
        self
    }

    /// Calls `watcher` for each event of a handover. May be called several times: all watchers are called, in this order.
    ///
    /// One thread of the handover calls the callbacks, one event after the other. A callback should return soon: a handover waits
    /// 2 seconds for the callbacks of an event, except of [`Offered`](HandoverEvent::Offered), and then goes on. Servers and stops
    /// do not wait; the end of [`run`](Group::run) waits 1.5 seconds at most.
    #[must_use]
    pub fn on_handover(self, watcher: impl Fn(&HandoverEvent) + Send + Sync + 'static) -> Self {
        lock(&self.handover().setup).watcher.add(watcher);
        self
    }

    /// Whether this group replaces another process, which serves until the group does.
    pub(crate) fn takes_over(&self) -> bool {
        lock(&self.handover().setup).takeover.is_some()
    }

    fn handover(&self) -> Arc<Handover> {
        self.handle().companion_or_init(|| Arc::new(Handover::new()))
    }
}

impl GroupHandle {
    /// Replaces this process: starts the new one, hands the listeners over, and drains. Returns when the new process serves.
    /// [`Group::run`] returns when the drain is over.
    ///
    /// The call waits for the new process, so it belongs on a thread that may block: a task, a worker, a thread of your own.
    ///
    /// ```no_run
    /// use softstop::{Group, Signal, StopPolicy, handover::Replacement};
    /// use std::thread;
    ///
    /// let group = Group::new().replaceable();
    /// let handle = group.handle();
    /// let group = group.stop_on(&[Signal::Hangup, Signal::Terminate], move |signal, _count| match signal {
    ///     Signal::Hangup => {
    ///         let handle = handle.clone();
    ///         thread::spawn(move || match handle.replace(Replacement::default()) {
    ///             Ok(replaced) => println!("{replaced}"),
    ///             Err(error) => eprintln!("{error}"), // this process serves on
    ///         });
    ///         None
    ///     }
    ///     _ => Some(StopPolicy::default()),
    /// });
    /// # drop(group);
    /// ```
    ///
    /// # Errors
    ///
    /// [`HandoverErrorKind`] says why. Unless the kind is [`Lost`](HandoverErrorKind::Lost), this process serves on as before.
    pub fn replace(&self, replacement: Replacement) -> Result<Replaced, HandoverError> {
        let misuse = |text: &str| Err(HandoverError::new(HandoverErrorKind::Misuse, text));
        if !journal::may_block() {
            return misuse("an event loop must not wait for a new process: call replace on another thread");
        }
        let Some(handover) = self.companion::<Handover>() else {
            return misuse("the group is not prepared: call Group::control or Group::replaceable");
        };
        let of = Of { handover, group: self.clone() };
        let (teller, news) = news();
        offering::replace(&of, replacement, teller)?;
        loop {
            match news.next() {
                Some(News::Line(_)) => {}
                Some(News::Outcome(outcome)) => return outcome,
                None => return Err(offering::outcome_unknown()),
            }
        }
    }
}

/// What the drain waits for, in words. Empty while no stop is under way.
fn waits_for(of: &Of) -> String {
    let progress = of.group.progress();
    let own = match progress.phase {
        Phase::Running => return String::new(),
        Phase::Stopped => String::new(),
        Phase::LameDuck | Phase::Draining | Phase::Cancelling => progress.to_string(),
    };
    // The end of this group waits for the older process, too.
    let older = of.handover.older();
    let older = older
        .map(|Older { generation, pid, waits, .. }| format!("generation {generation} (pid {pid}): {waits}"));
    [own, older.unwrap_or_default()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join("; ")
}
