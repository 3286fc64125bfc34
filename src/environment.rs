//! What child processes must not inherit.
//!
//! A supervisor speaks to one process by variables of its environment. systemd's own library offers to remove them
//! (`unset_environment`). A Rust program cannot do so safely, because another thread may read the environment at the same time.
//! So the variables are removed for each child instead.
//!
//! | variable | meaning | a replacement of this process | another child |
//! | --- | --- | --- | --- |
//! | `NOTIFY_SOCKET` | where messages to the supervisor go | keeps it | must not have it |
//! | `WATCHDOG_USEC` | how often the watchdog wants to be told | keeps it | must not have it |
//! | `WATCHDOG_PID` | the process that the watchdog watches | must not have it: it names this process | must not have it |
//! | `LISTEN_FDS`, `LISTEN_FDNAMES`, `LISTEN_PID` | descriptors that the supervisor has passed | must not have them | must not have them |

use std::process::Command;

const NOTIFY: [&str; 2] = ["NOTIFY_SOCKET", "WATCHDOG_USEC"];
const OF_ONE_PROCESS: [&str; 5] =
    ["WATCHDOG_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"];

/// Prepares a command that starts the next version of this program, which takes over from this process.
///
/// ```
/// use std::process::Command;
///
/// let mut command = Command::new("/usr/bin/app");
/// softstop::deploy::environment::for_replacement(&mut command);
/// let removed: Vec<_> = command.get_envs().filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
/// assert!(removed.contains(&"WATCHDOG_PID".as_ref()) && !removed.contains(&"NOTIFY_SOCKET".as_ref()));
/// ```
pub fn for_replacement(command: &mut Command) -> &mut Command {
    OF_ONE_PROCESS.into_iter().fold(command, |command, name| command.env_remove(name))
}

/// Prepares a command that starts any other program. Without this, that program or one of its children could declare this
/// service ready, or take the descriptors for its own.
///
/// ```
/// use std::process::Command;
///
/// let mut command = Command::new("gzip");
/// softstop::deploy::environment::for_other_child(&mut command);
/// assert!(command.get_envs().any(|(name, value)| name == "NOTIFY_SOCKET" && value.is_none()));
/// ```
pub fn for_other_child(command: &mut Command) -> &mut Command {
    NOTIFY.into_iter().fold(for_replacement(command), |command, name| command.env_remove(name))
}
