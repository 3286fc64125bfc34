//! The checks, one in each file. A file holds the names of the check, the rule with its source, and the code.

mod accept_queue;
mod client_gone;
mod descriptors;
mod ends;
mod exit_status;
mod expect_continue;
mod half_head;
mod half_open;
mod idle;
mod idle_thousand;
mod in_flight;
mod keep_alive;
mod keep_alive_think;
mod keeps_open;
mod lame_duck;
mod large_response;
mod listens_first;
mod load;
mod moments;
mod never_reads;
mod new_connections;
mod nothing_left;
mod pid_1;
mod pipelined;
mod port_in_use;
mod probes;
mod readiness;
mod replace;
mod restarts;
mod says_close;
mod second_signal;
mod sighup;
mod sigint;
mod silent;
mod slow_body;
mod starts;
mod stream_ends;
mod stuck;
mod upgrade;

use serde::Serialize;

use super::trial::{Judged, Trial};

/// A check of one property.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) id: &'static str,
    /// The behaviour of a good server, as a statement.
    pub(crate) title: &'static str,
    pub(crate) rule: &'static str,
    /// The source of the rule: a standard, a contract of a system, or "convention".
    pub(crate) source: &'static str,
    pub(crate) severity: Severity,
    pub(crate) place: Place,
    /// The symptoms that users see where the rule is broken.
    pub(crate) users: &'static str,
    /// Why servers break it.
    pub(crate) why: &'static str,
    /// The key in `remedies.toml`.
    pub(crate) remedy: &'static str,
    /// Checks that have to be passed, or only warned, before this one makes sense.
    pub(crate) after: &'static [&'static str],
    pub(crate) run: fn(&Trial<'_>) -> Judged,
}

/// The verdict on a server that breaks the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    Error,
    /// A convention, or an outcome that the rules leave open.
    Warning,
}

/// The state of the request or the connection when the stop begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Place {
    /// The process itself.
    Process,
    HalfOpen,
    AcceptQueue,
    Idle,
    InFlight,
    Streaming,
    Upgraded,
}

impl Place {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Place::Process => "process",
            Place::HalfOpen => "half open",
            Place::AcceptQueue => "accept queue",
            Place::Idle => "idle",
            Place::InFlight => "in flight",
            Place::Streaming => "streaming",
            Place::Upgraded => "upgraded",
        }
    }
}

/// All checks, in the order in which they are run.
pub(crate) const ALL: [&Check; 36] = [
    &starts::CHECK,
    &listens_first::CHECK,
    &ends::CHECK,
    &exit_status::CHECK,
    &nothing_left::CHECK,
    &port_in_use::CHECK,
    &restarts::CHECK,
    &new_connections::CHECK,
    &accept_queue::CHECK,
    &half_open::CHECK,
    &keep_alive::CHECK,
    &keep_alive_think::CHECK,
    &pipelined::CHECK,
    &in_flight::CHECK,
    &says_close::CHECK,
    &large_response::CHECK,
    &slow_body::CHECK,
    &expect_continue::CHECK,
    &client_gone::CHECK,
    &idle::CHECK,
    &idle_thousand::CHECK,
    &silent::CHECK,
    &half_head::CHECK,
    &keeps_open::CHECK,
    &never_reads::CHECK,
    &stuck::CHECK,
    &stream_ends::CHECK,
    &upgrade::CHECK,
    &readiness::CHECK,
    &lame_duck::CHECK,
    &second_signal::CHECK,
    &sigint::CHECK,
    &sighup::CHECK,
    &descriptors::CHECK,
    &pid_1::CHECK,
    &replace::CHECK,
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn identifiers_are_unique_and_preconditions_come_first() {
        let mut seen = HashSet::new();
        for check in ALL {
            assert!(check.after.iter().all(|id| seen.contains(id)), "{}", check.id);
            assert!(seen.insert(check.id), "{}", check.id);
            assert!(check.title.len() < 70, "{}: the title has to fit in a table", check.id);
        }
    }
}
