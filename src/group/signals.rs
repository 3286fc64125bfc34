//! Signals that stop the group.

use std::time::Instant;

use super::Group;
use crate::{
    isolation::{contain::catch, journal},
    rounded::Rounded,
    stop::{Presses, Signal, SignalThread, StopPolicy},
};

impl Group {
    /// Stops the group on SIGINT, SIGTERM, SIGHUP and SIGQUIT. A second press makes the stop a hard one.
    ///
    /// The signals are caught from this call on, so that a signal during the start is not lost, until [`Group::run`]
    /// returns. A signal that the process has inherited as ignored stays ignored; see [`Signal`].
    ///
    /// Signals within 500 ms of the first one are one press, whichever they are, because process groups and wrappers such as
    /// npm deliver a signal twice. The first signal acts at once.
    #[must_use]
    pub fn stop_on_signals(self) -> Self {
        let handle = self.handle();
        let policy_of =
            move |_, count| Some(if count == 1 { handle.lifecycle.policy() } else { StopPolicy::now() });
        self.stop_on(&[Signal::Interrupt, Signal::Terminate, Signal::Hangup, Signal::Quit], policy_of)
    }

    /// Stops the group on these signals, as `policy_of` says. This call replaces
    /// [`stop_on_signals`](Group::stop_on_signals), and catches the signals for the same time.
    ///
    /// `policy_of` gets the signal, and the number of presses so far, this one included. It answers with the policy of the
    /// stop, or with `None` to ignore the signal. It must not block, because the stop begins when it has returned. If it
    /// panics, the group's own [policy](Group::policy) is used.
    ///
    /// A signal within 500 ms of one that has stopped the group belongs to the same press, and `policy_of` is not called.
    /// After a signal that was ignored, each signal is a press of its own.
    ///
    /// ```
    /// use softstop::{Group, Signal, StopPolicy};
    /// use std::time::Duration;
    ///
    /// // The service manager's signal is patient, the keyboard's is not. A second signal of any kind is a hard stop.
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
        let mut presses = Presses::default();
        // An earlier listener ends before the new one begins.
        self.signals = None;
        self.signals = Some(SignalThread::new(signals, move |signal| {
            let came = Instant::now();
            let Some(count) = presses.signal(came) else {
                journal::debug!("{signal}: belongs to the signal before");
                return;
            };
            // A panic of the user's closure must not end the thread that waits for signals.
            let chosen = catch(|| policy_of(signal, count));
            let policy = chosen.as_ref().map_or_else(|_| Some(handle.lifecycle.policy()), |policy| *policy);
            if let Some(policy) = policy {
                presses.asked_to_stop(came);
                handle.request_stop(policy);
                journal::info!("{signal}: stopping within {}", Rounded(policy.max_duration()));
            }
            if let Err(panic) = chosen {
                journal::error!("{signal}: the choice of a policy panicked: {panic}");
            }
        }));
        self
    }
}
