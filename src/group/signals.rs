//! Which signal stops the group, and how.

use std::time::Instant;

use super::Group;
use crate::{
    isolation::{contain::catch, journal},
    rounded::Rounded,
    stop::{Presses, Signal, SignalThread, StopPolicy},
};

impl Group {
    /// Stops the group on SIGINT, SIGTERM, SIGHUP and SIGQUIT; a second press makes it a hard stop. From this call on, so
    /// that a signal during the start is not lost, until [`Group::run`] returns.
    ///
    /// Signals within 500 ms of the first one are one press, whichever they are: process groups and wrappers such as npm
    /// deliver a signal twice. The first one acts at once. What the process has inherited as ignored stays ignored; see
    /// [`Signal`].
    #[must_use]
    pub fn stop_on_signals(self) -> Self {
        let handle = self.handle();
        let policy_of =
            move |_, count| Some(if count == 1 { handle.control.policy() } else { StopPolicy::now() });
        self.stop_on(&[Signal::Interrupt, Signal::Terminate, Signal::Hangup, Signal::Quit], policy_of)
    }

    /// Stops the group on these signals, as `policy_of` says: it is told the signal and how many presses there have been,
    /// this one included, and answers with the policy of the stop, or `None` for a signal that is to be ignored. In place
    /// of [`stop_on_signals`](Group::stop_on_signals), and from this call on as that.
    ///
    /// A signal within 500 ms of one that has stopped the group belongs to the same press: `policy_of` is not called.
    /// After a signal that was ignored, every signal is a press of its own. `policy_of` must not block: the stop begins
    /// when it has returned.
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
        let mut presses = Presses::default();
        // An earlier listener ends before the new one begins.
        self.signals = None;
        self.signals = Some(SignalThread::new(signals, move |signal| {
            let came = Instant::now();
            let Some(count) = presses.signal(came) else {
                journal::debug!("{signal}: belongs to the signal before");
                return;
            };
            // A panic in there must not make the process deaf to signals.
            let chosen = catch(|| policy_of(signal, count));
            let policy = chosen.as_ref().map_or_else(|_| Some(handle.control.policy()), |policy| *policy);
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
