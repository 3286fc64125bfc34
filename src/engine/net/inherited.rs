//! Listeners that a supervisor has opened before it started the process: `LISTEN_FDS` of
//! [sd_listen_fds(3)](https://www.freedesktop.org/software/systemd/man/sd_listen_fds.html). Their descriptors are there once in a
//! process, so this is a global state:
//!
//! ```text
//!   ServerBuilder::build    want(): which names the servers of this process want
//!   a start                 check(): the environment is read once; each inherited listener must be wanted by some server
//!                           take(): further descriptors for the listeners of this start; a name that is missing is an error
//! ```
//!
//! The first descriptors stay open, because a stop leaves the listeners to the supervisor, and a later start uses them again.

use std::io;

use super::listener::{ListenOptions, Listener};

/// Which of the inherited listeners a listen address means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Wanted {
    /// `systemd`: all of them.
    All,
    /// `fd:NAME`: those of this name.
    Named(String),
}

impl Wanted {
    /// `None` if `spec` is no listen address of this kind.
    pub(crate) fn parse(spec: &str) -> Option<io::Result<Wanted>> {
        if spec == "systemd" {
            return Some(Ok(Wanted::All));
        }
        let name = spec.strip_prefix("fd:")?;
        Some(if name.is_empty() || name.contains(':') {
            Err(wrong("write fd:NAME, with the FileDescriptorName= of the socket unit".to_owned()))
        } else {
            Ok(Wanted::Named(name.to_owned()))
        })
    }
}

fn wrong(advice: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, advice)
}

#[cfg(not(feature = "deploy"))]
mod without {
    use super::*;

    pub(crate) fn want(_: &Wanted) {}

    pub(crate) fn check() -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn take(_: &Wanted, _: usize, _: ListenOptions) -> io::Result<Vec<Listener>> {
        Err(wrong("inherited listeners need the feature `deploy` of softstop".to_owned()))
    }
}

#[cfg(not(feature = "deploy"))]
pub(crate) use without::{check, take, want};

#[cfg(feature = "deploy")]
mod with {
    use std::{
        collections::BTreeSet,
        env,
        os::fd::{AsFd, OwnedFd},
        sync::{Mutex, OnceLock},
    };

    use socket2::SockRef;

    use super::*;
    use crate::{
        engine::net::{holding::Holder, socket::ListenSocket},
        sync::lock,
    };

    /// More descriptors than a supervisor passes. A larger number in the environment is a mistake.
    const MOST: usize = 1024;
    /// The first descriptor that is passed: SD_LISTEN_FDS_START.
    const FIRST: usize = 3;
    /// The name of a descriptor without a name.
    const NAMELESS: &str = "unknown";

    struct Inherited {
        name: String,
        descriptor: OwnedFd,
    }

    static INHERITED: OnceLock<Result<Vec<Inherited>, String>> = OnceLock::new();
    static WANTED: Mutex<BTreeSet<Wanted>> = Mutex::new(BTreeSet::new());

    /// Notes that a server of this process wants these listeners.
    pub(crate) fn want(wanted: &Wanted) {
        lock(&WANTED).insert(wanted.clone());
    }

    fn inherited() -> io::Result<&'static [Inherited]> {
        match INHERITED.get_or_init(read) {
            Ok(inherited) => Ok(inherited),
            Err(error) => Err(wrong(error.clone())),
        }
    }

    /// What the environment says. Only for the process that LISTEN_PID names: a child that inherits the variables does not have
    /// the descriptors.
    fn read() -> Result<Vec<Inherited>, String> {
        let variable = |name: &str| env::var_os(name).map(|value| value.to_string_lossy().into_owned());
        let malformed = |name: &str, expected: &str| {
            Err(format!(
                "the environment variable {name} is {:?}: expected {expected}",
                variable(name).unwrap_or_default()
            ))
        };
        let (Some(pid), Some(count)) = (variable("LISTEN_PID"), variable("LISTEN_FDS")) else {
            return Ok(Vec::new());
        };
        match pid.parse::<u32>() {
            Ok(pid) if pid == std::process::id() => {}
            Ok(_) => return Ok(Vec::new()),
            Err(_) => return malformed("LISTEN_PID", "a process id"),
        }
        let Some(count) = count.parse::<usize>().ok().filter(|count| *count <= MOST) else {
            return malformed("LISTEN_FDS", "the number of inherited descriptors");
        };
        let names = variable("LISTEN_FDNAMES").filter(|names| !names.is_empty());
        if names.is_some_and(|names| names.split(':').count() != count) {
            return malformed(
                "LISTEN_FDNAMES",
                "as many names, with colons between them, as LISTEN_FDS says",
            );
        }
        let listeners = sd_listen_fds::get().map_err(|error| error.to_string())?;
        let mut inherited = Vec::new();
        let mut failure = None;
        for (number, (name, descriptor)) in listeners.into_iter().enumerate() {
            let name = name.filter(|name| !name.is_empty()).unwrap_or_else(|| NAMELESS.to_owned());
            let descriptor = descriptor.into_std();
            // As sd_listen_fds(3) does: a child gets a listener only if a handover sends it. A number without a descriptor is
            // reported below.
            _ = SockRef::from(&descriptor).set_cloexec(true);
            let is_listener = descriptor.as_fd().try_clone_to_owned().and_then(ListenSocket::adopt);
            if let (Err(error), None) = (is_listener, &failure) {
                failure = Some(format!("the inherited descriptor {} ({name}) {error}", number + FIRST));
            }
            inherited.push(Inherited { name, descriptor });
        }
        match failure {
            None => Ok(inherited),
            Some(failure) => {
                // The numbers may name no descriptor at all, and must not close one that is opened later.
                inherited.into_iter().for_each(|inherited| std::mem::forget(inherited.descriptor));
                Err(failure)
            }
        }
    }

    /// Checks that the environment makes sense, and that some server of this process wants each inherited listener.
    pub(crate) fn check() -> io::Result<()> {
        let inherited = inherited()?;
        let wanted = lock(&WANTED);
        let is_wanted =
            |name: &str| wanted.contains(&Wanted::All) || wanted.contains(&Wanted::Named(name.to_owned()));
        match inherited.iter().find(|inherited| !is_wanted(&inherited.name)) {
            None => Ok(()),
            Some(Inherited { name, .. }) => Err(wrong(format!(
                "the process has inherited the listener {name:?}, and none of its servers wants it: listen on fd:{name} or systemd"
            ))),
        }
    }

    /// Further descriptors of the listeners that are wanted.
    pub(crate) fn take(
        wanted: &Wanted,
        listen_index: usize,
        options: ListenOptions,
    ) -> io::Result<Vec<Listener>> {
        let inherited = inherited()?;
        let is_wanted = |inherited: &&Inherited| match wanted {
            Wanted::All => true,
            Wanted::Named(name) => inherited.name == *name,
        };
        let take = |inherited: &Inherited| {
            let socket = ListenSocket::adopt(inherited.descriptor.try_clone()?)?;
            Listener::adopt(socket, Holder::Shared, listen_index, options)
        };
        let taken = inherited.iter().filter(is_wanted).map(take).collect::<io::Result<Vec<_>>>()?;
        if taken.is_empty() {
            let names: Vec<_> = inherited.iter().map(|inherited| inherited.name.as_str()).collect();
            let known = if names.is_empty() {
                "this process has inherited no listener (LISTEN_FDS and LISTEN_PID name none)".to_owned()
            } else {
                format!("this process has inherited only {}", names.join(", "))
            };
            return Err(wrong(known));
        }
        Ok(taken)
    }
}

#[cfg(feature = "deploy")]
pub(crate) use with::{check, take, want};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_all_inherited_listeners_or_those_of_a_name() {
        assert_eq!(Wanted::parse("systemd").unwrap().unwrap(), Wanted::All);
        assert_eq!(Wanted::parse("fd:http").unwrap().unwrap(), Wanted::Named("http".into()));
        for wrong in ["fd:", "fd:a:b"] {
            assert!(Wanted::parse(wrong).unwrap().unwrap_err().to_string().contains("fd:NAME"), "{wrong}");
        }
        for other in ["systemd:80", "localhost:80", ":80", "unix:fd:a"] {
            assert!(Wanted::parse(other).is_none(), "{other}");
        }
    }
}
