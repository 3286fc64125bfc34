//! Everything that a supervisor is told about a group.
//!
//! ```text
//!   Early ──── everything serves ────> Announced: READY=1, a newline to the ready descriptor, the watchdog is told
//!     │                                    ^
//!     └── hold_back ──> HeldBack ── announce ──┘     (another process serves meanwhile, and hands the service over)
//! ```

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use super::{Notify, ReadyDescriptor, status, watchdog};
use crate::{
    error::Error,
    group::{Group, GroupHandle},
    isolation::journal,
    sync::lock,
};

/// Tells a supervisor how a group is doing: that it serves, that it stops, what the stop waits for, and that its event loops turn.
///
/// | when | systemd (`NOTIFY_SOCKET`) | s6 ([`ready_descriptor`](Supervisor::ready_descriptor)) | log |
/// | --- | --- | --- | --- |
/// | everything serves | `READY=1` | a newline | |
/// | a new process that was started to replace this one initialises | `RELOADING=1` with `MONOTONIC_USEC=` | | |
/// | the new process is ready | `MAINPID=`, `READY=1`, then nothing more | | |
/// | every half `WATCHDOG_USEC`, if every event loop has taken a turn | `WATCHDOG=1` | | an error, if a loop has not |
/// | a stop has begun | `STOPPING=1` | | |
/// | each second of the stop | `STATUS=` with what it waits for, `EXTEND_TIMEOUT_USEC=` | | the same line, after the lame duck phase |
///
/// Guaranteed:
/// - Neither an event loop nor a stop waits for the supervisor. Threads of their own tell it, and exist only while there is
///   something to tell: the one for the watchdog only if `WATCHDOG_USEC` asks for it.
/// - An inline handler that blocks its event loop stops the watchdog.
///
/// Not guaranteed: that handlers on the worker pool make progress. The watchdog asks the event loops alone, because a handler may
/// take as long as it likes.
///
/// Your part: children that you start must not inherit the supervisor's variables: see [`environment`](super::environment).
///
/// ```
/// use softstop::{Group, deploy::Supervisor};
///
/// # fn main() -> Result<(), softstop::Error> {
/// let supervisor = Supervisor::from_environment()?; // first, so that a wrong variable is an error before anything serves
/// let group = Group::new().stop_on_signals();
/// let group = supervisor.attend(group);
/// // group.run()
/// # drop(group);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

struct Shared {
    notify: Option<Notify>,
    watchdog: Option<Duration>,
    state: Mutex<State>,
}

struct State {
    ready: Ready,
    ready_descriptor: Option<ReadyDescriptor>,
}

/// How far the announcement is.
enum Ready {
    /// The group does not serve yet.
    Early,
    /// The group does not serve yet, or serves and must not say so. The group is known once it serves.
    HeldBack(Option<GroupHandle>),
    Announced,
}

impl Supervisor {
    /// Nobody: only the log has lines of a stop.
    #[must_use]
    pub fn none() -> Supervisor {
        Supervisor::new(None, None)
    }

    /// The supervisor that the environment names: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, as systemd sets them. Without
    /// these variables it is [`none`](Supervisor::none).
    ///
    /// # Errors
    ///
    /// If a variable has a value that makes no sense, if nobody listens at `NOTIFY_SOCKET`, or if `WATCHDOG_USEC` asks for messages
    /// and `NOTIFY_SOCKET` does not say where to.
    pub fn from_environment() -> Result<Supervisor, Error> {
        let (notify, watchdog) = (Notify::from_environment()?, watchdog::interval()?);
        if watchdog.is_some() && notify.is_none() {
            return Err(Error::misuse(
                "WATCHDOG_USEC asks for messages, but NOTIFY_SOCKET does not say where to: unset one, or set the other",
            ));
        }
        Ok(Supervisor::new(notify, watchdog))
    }

    /// The supervisor that listens at a known address. With `watchdog`, the supervisor is told that the service is alive every half
    /// of that time, if every event loop has taken a turn.
    #[must_use]
    pub fn with_notify(notify: Notify, watchdog: Option<Duration>) -> Supervisor {
        Supervisor::new(Some(notify), watchdog)
    }

    fn new(notify: Option<Notify>, watchdog: Option<Duration>) -> Supervisor {
        let state = Mutex::new(State { ready: Ready::Early, ready_descriptor: None });
        Supervisor(Arc::new(Shared { notify, watchdog, state }))
    }

    /// Has the supervisor told by a newline on this descriptor, too.
    #[must_use]
    pub fn ready_descriptor(self, descriptor: ReadyDescriptor) -> Supervisor {
        lock(&self.0.state).ready_descriptor = Some(descriptor);
        self
    }

    /// The way to the supervisor, for messages of your own.
    #[must_use]
    pub fn notify(&self) -> Option<&Notify> {
        self.0.notify.as_ref()
    }

    /// Does not say that the group serves until [`announce`](Supervisor::announce): for a process that takes the service over from
    /// another one, which still speaks for the service.
    pub fn hold_back(&self) {
        let mut state = lock(&self.0.state);
        if matches!(state.ready, Ready::Early) {
            state.ready = Ready::HeldBack(None);
        }
    }

    /// Says that the group serves, as soon as that is so. Undoes [`hold_back`](Supervisor::hold_back).
    pub fn announce(&self) {
        let group = {
            let mut state = lock(&self.0.state);
            match &mut state.ready {
                Ready::HeldBack(group) => {
                    let group = group.take();
                    state.ready = if group.is_some() { Ready::Announced } else { Ready::Early };
                    group
                }
                Ready::Early | Ready::Announced => None,
            }
        };
        let Some(group) = group else { return };
        let supervisor = self.clone();
        let tell = move || supervisor.tell_ready(&group);
        if let Err(error) = std::thread::Builder::new().name("supervisor".to_owned()).spawn(tell) {
            journal::warn!(
                "the supervisor is not told that the service is ready: no thread to be had: {error}"
            );
        }
    }

    /// Tells the supervisor how this group is doing, from its start to its end.
    ///
    /// With the feature `deploy`, it is told of handovers, too: when this group is replaced, and when it has replaced another
    /// process. Call `Group::takeover` before `attend`, because a group that takes over must not say that it is ready while the old
    /// process speaks for the service.
    #[must_use]
    pub fn attend(&self, group: Group) -> Group {
        #[cfg(all(feature = "deploy", target_os = "linux"))]
        let group = self.attend_handovers(group);
        let (serving, stopping) = (self.clone(), self.clone());
        group
            .when_serving(move |group| serving.serves(group))
            .when_stopping(move |group| stopping.stops(group))
    }

    #[cfg(all(feature = "deploy", target_os = "linux"))]
    fn attend_handovers(&self, group: Group) -> Group {
        use crate::handover::HandoverEvent;

        let takes_over = group.takes_over();
        if takes_over {
            self.hold_back();
        }
        let supervisor = self.clone();
        group.on_handover(move |event| {
            if let (HandoverEvent::InCharge { .. }, true) = (event, takes_over) {
                supervisor.announce();
            }
            let Some(notify) = supervisor.notify() else { return };
            match event {
                HandoverEvent::Offered { .. } => notify.reloading(),
                HandoverEvent::HandingOver { pid } => notify.hand_over_to(*pid),
                HandoverEvent::Failed { .. } => {
                    // One of the two has an effect: whether the failure came before the other process was named, or after.
                    notify.ready();
                    notify.take_back();
                }
                HandoverEvent::InCharge { .. }
                | HandoverEvent::HandedOver { .. }
                | HandoverEvent::OlderEnded { .. } => {}
            }
        })
    }

    /// Everything serves.
    fn serves(&self, group: &GroupHandle) {
        {
            let mut state = lock(&self.0.state);
            match &mut state.ready {
                Ready::Early => state.ready = Ready::Announced,
                Ready::HeldBack(held) => {
                    *held = Some(group.clone());
                    return;
                }
                Ready::Announced => return,
            }
        }
        self.tell_ready(group);
    }

    /// Called on a thread of its own, which becomes the watchdog's.
    fn tell_ready(&self, group: &GroupHandle) {
        let Shared { notify, watchdog, state } = &*self.0;
        // A statement of its own, so that nothing is written while holding the lock.
        let descriptor = lock(state).ready_descriptor.take();
        if let Some(Err(error)) = descriptor.map(ReadyDescriptor::announce) {
            journal::warn!("the supervisor does not take the newline that says ready: {error}");
        }
        let Some(notify) = notify else { return };
        notify.ready();
        if let Some(interval) = watchdog {
            watchdog::watch(group, notify, *interval);
        }
    }

    /// A stop has begun. Called on a thread of its own.
    fn stops(&self, group: &GroupHandle) {
        let notify = self.notify();
        if let Some(notify) = notify {
            notify.stopping();
        }
        status::follow(group, notify);
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { notify, watchdog, .. } = &*self.0;
        f.debug_struct("Supervisor")
            .field("notify", notify)
            .field("watchdog", watchdog)
            .finish_non_exhaustive()
    }
}
