//! The messages of sd_notify(3): datagrams with one assignment a line, to the socket that `NOTIFY_SOCKET` names.
//!
//! ```text
//!   Starting ── ready ──> Ready ── reloading ──> Reloading ── ready ──> Ready
//!       │                   │                        │
//!       └───────────────────┴──── stopping ──────────┴──> Stopping            (from then on ready and reloading say nothing)
//!                           └──── hand_over_to ──────────> Silent: another process speaks for the service
//! ```
//!
//! The callers run on different threads. The state keeps their messages in order: the service cannot be declared ready after it
//! was declared to be stopping.

mod address;
#[cfg(all(feature = "deploy", target_os = "linux"))]
mod store;

use std::{
    env, io,
    os::unix::net::{SocketAddr, UnixDatagram},
    sync::Mutex,
    time::Duration,
};

use crate::{error::Error, isolation::journal, sync::lock};

/// The variable that names the supervisor's socket.
const VARIABLE: &str = "NOTIFY_SOCKET";
/// The longest status. systemd takes messages of up to 4096 bytes.
const LONGEST_STATUS: usize = 1024;
/// How long the messages that the supervisor waits for may wait for the supervisor. They are sent on threads that may block.
const PATIENCE: Duration = Duration::from_secs(1);

/// The way to a supervisor that understands sd_notify(3), such as systemd.
///
/// Guaranteed:
/// - [`ready`](Notify::ready) and [`hand_over_to`](Notify::hand_over_to) wait at most a second for a supervisor that does not read.
///   All other calls do not wait.
/// - Messages arrive in an order that makes sense: see each call.
///
/// Not guaranteed: that a message arrives. If the supervisor does not read, a message is lost, and the log says so.
///
/// Your part: [`Supervisor`](super::Supervisor) calls all of this for a group. If you call it yourself, call it where a thread may
/// block, and not in an inline handler.
///
/// ```
/// use softstop::deploy::Notify;
///
/// // Without a supervisor there is nobody to tell.
/// if let Some(notify) = Notify::from_environment()? {
///     notify.ready();
///     notify.status("serving on port 8080");
/// }
/// # Ok::<(), softstop::Error>(())
/// ```
#[derive(Debug)]
pub struct Notify {
    address: SocketAddr,
    /// Does not wait.
    prompt: UnixDatagram,
    /// Waits for [`PATIENCE`].
    patient: UnixDatagram,
    said: Mutex<Said>,
}

/// What the supervisor was told last about the state of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Starting,
    Ready,
    #[cfg_attr(
        not(all(feature = "deploy", target_os = "linux")),
        allow(dead_code, reason = "a reload needs the monotonic clock")
    )]
    Reloading,
    Stopping,
    Silent,
}

/// Whether a message may wait for the supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    No,
    ForASecond,
}

impl Notify {
    /// The supervisor that `NOTIFY_SOCKET` names. `None` if the variable is not set, or is empty.
    ///
    /// # Errors
    ///
    /// If the variable holds neither an absolute path nor `@` and an abstract name (Linux), or nobody listens there. The text says
    /// what was expected. Call this before anything serves, because a supervisor kills a service that never says that it is ready.
    pub fn from_environment() -> Result<Option<Notify>, Error> {
        match env::var_os(VARIABLE) {
            Some(value) if !value.is_empty() => {
                let shown = value.to_string_lossy().into_owned();
                let failed = |error| Error::io(format!("{VARIABLE}={shown}"), error);
                address::parse(&value).and_then(Notify::to).map(Some).map_err(failed)
            }
            _ => Ok(None),
        }
    }

    /// The supervisor that listens at this address.
    ///
    /// # Errors
    ///
    /// If nobody listens there, or the process has no descriptor left. Two are needed.
    pub fn to(address: SocketAddr) -> io::Result<Notify> {
        let (prompt, patient) = (UnixDatagram::unbound()?, UnixDatagram::unbound()?);
        // Only to find out whether somebody listens. The messages name the address themselves, because a supervisor that starts
        // anew binds a new socket.
        UnixDatagram::unbound()?.connect_addr(&address)?;
        prompt.set_nonblocking(true)?;
        patient.set_write_timeout(Some(PATIENCE))?;
        Ok(Notify { address, prompt, patient, said: Mutex::new(Said::Starting) })
    }

    /// `READY=1`: everything serves, or a reload is over. The status is `serving`.
    pub fn ready(&self) {
        let mut said = lock(&self.said);
        if matches!(*said, Said::Starting | Said::Reloading) {
            *said = Said::Ready;
            self.send("READY=1\nSTATUS=serving", Waits::ForASecond);
        }
    }

    /// `RELOADING=1` with the present time of the monotonic clock, as systemd's `Type=notify-reload` wants it. The end of the reload
    /// is [`ready`](Notify::ready), also if the reload has failed, or [`hand_over_to`](Notify::hand_over_to).
    #[cfg(feature = "deploy")]
    pub fn reloading(&self) {
        let mut said = lock(&self.said);
        if *said == Said::Ready {
            *said = Said::Reloading;
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
            let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
            self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"), Waits::No);
        }
    }

    /// `STOPPING=1`: a stop has begun. The status is `stopping`.
    pub fn stopping(&self) {
        let mut said = lock(&self.said);
        if !matches!(*said, Said::Stopping | Said::Silent) {
            *said = Said::Stopping;
            self.send("STOPPING=1\nSTATUS=stopping", Waits::No);
        }
    }

    /// `MAINPID=`, and the end of a reload: from now on the process with this number is the service, and speaks for it. This
    /// process says nothing more, so that the end of its drain is not taken for a stop of the service.
    ///
    /// Call it just before the other process is told that the service is its own: systemd ignores what that process says before,
    /// and ends the service if this process ends before.
    pub fn hand_over_to(&self, process: u32) {
        let mut said = lock(&self.said);
        if *said != Said::Silent {
            *said = Said::Silent;
            self.send(&format!("MAINPID={process}\nREADY=1"), Waits::ForASecond);
        }
    }

    /// `MAINPID=` of this process again: the other process did not take the service over.
    pub fn take_back(&self) {
        let mut said = lock(&self.said);
        if *said == Said::Silent {
            *said = Said::Ready;
            let process = std::process::id();
            self.send(&format!("MAINPID={process}\nREADY=1\nSTATUS=serving"), Waits::ForASecond);
        }
    }

    /// `STATUS=`: one line for people, which `systemctl status` shows. Line breaks become spaces, and a long line is cut.
    pub fn status(&self, line: &str) {
        if *lock(&self.said) != Said::Silent {
            let mut end = line.len().min(LONGEST_STATUS);
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            let line = line[..end].replace(char::is_control, " ");
            self.send(&format!("STATUS={line}"), Waits::No);
        }
    }

    /// `WATCHDOG=1`: the service is alive. See [`Supervisor`](super::Supervisor), which asks the event loops first.
    pub fn alive(&self) {
        if *lock(&self.said) != Said::Silent {
            self.send("WATCHDOG=1", Waits::No);
        }
    }

    /// `EXTEND_TIMEOUT_USEC=`: the start or the stop that is under way needs more time than its time-out. The supervisor waits at
    /// least for this long from now on.
    pub fn extend_timeout(&self, time: Duration) {
        if *lock(&self.said) != Said::Silent {
            self.send(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()), Waits::No);
        }
    }

    fn send(&self, message: &str, waits: Waits) {
        let socket = match waits {
            Waits::No => &self.prompt,
            Waits::ForASecond => &self.patient,
        };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), &self.address) {
            journal::warn!("the supervisor does not take {:?}: {error}", message.replace('\n', " "));
        }
    }
}
