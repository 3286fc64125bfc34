//! Servers that run as an ordinary user, and the proof that this user lacks the privilege in question.

use std::{
    fs, io,
    net::TcpListener,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};
use socket2::{SockFilter, SockRef};

/// The argument with which a program of this package runs [`probe`] only.
pub const PROBE: &str = "--probe-filter";

/// The user id, and a directory for programs. The user may read the programs there, wherever they were built.
///
/// Dropping the value removes the directory. So does a signal that ends the process.
#[derive(Debug)]
pub struct User {
    id: u32,
    directory: PathBuf,
}

impl User {
    /// # Errors
    ///
    /// If the directory cannot be made.
    pub fn new(id: u32) -> io::Result<User> {
        let directory = std::env::temp_dir().join(format!("softstop-stops-{}", process::id()));
        fs::create_dir(&directory)?;
        let user = User { id, directory };
        fs::set_permissions(&user.directory, fs::Permissions::from_mode(0o755))?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let directory = user.directory.clone();
        thread::spawn(move || {
            for signal in signals.forever() {
                let _ = fs::remove_dir_all(&directory);
                let _ = emulate_default_handler(signal);
            }
        });
        Ok(user)
    }

    /// A copy of the program that the user may run. Programs of the system stay where they are.
    ///
    /// # Errors
    ///
    /// If the copy fails.
    pub fn program(&self, program: &Path) -> io::Result<PathBuf> {
        let name = program.file_name().ok_or_else(|| io::Error::other("a program without a name"))?;
        if program.starts_with("/usr") {
            return Ok(program.to_owned());
        }
        let copy = self.directory.join(name);
        if !copy.exists() {
            fs::copy(program, &copy)
                .map_err(|error| io::Error::other(format!("{}: {error}", program.display())))?;
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
        }
        Ok(copy)
    }

    /// A directory that the user may write to.
    ///
    /// # Errors
    ///
    /// If the directory cannot be made.
    pub fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let directory = self.directory.join(name);
        fs::create_dir_all(&directory)?;
        chown(&directory, Some(self.id), Some(self.id))?;
        Ok(directory)
    }

    /// The command words that run a program as the user. The program gets `last_signal` when the harness ends.
    #[must_use]
    pub fn words(&self, last_signal: &str) -> Vec<String> {
        let id = self.id;
        vec![
            "setpriv".to_owned(),
            format!("--reuid={id}"),
            format!("--regid={id}"),
            "--clear-groups".to_owned(),
            format!("--pdeathsig={last_signal}"),
        ]
    }

    /// Makes sure that the user may not attach a packet filter to a listening socket. A user in a user namespace or on
    /// an older kernel may do so, and then a run would prove nothing about ordinary users.
    ///
    /// # Errors
    ///
    /// If the user may attach a filter, or the probe process fails in another way.
    pub fn assert_unprivileged(&self) -> io::Result<()> {
        let program = self.program(&std::env::current_exe()?)?;
        let words = self.words("KILL");
        let output = Command::new(&words[0]).args(&words[1..]).arg(program).arg(PROBE).output();
        let output = output.map_err(|error| io::Error::other(format!("setpriv (util-linux): {error}")))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(io::Error::other(format!("uid {}: this run would prove nothing: {said}", self.id)))
    }
}

impl Drop for User {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Attaches a classic packet filter to a listening socket. The kernel must refuse the filter to an unprivileged
/// process.
///
/// # Errors
///
/// If the kernel allows the filter, or refuses it with an error other than EPERM.
pub fn probe() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // The filter accepts the whole packet.
    let accept_all = SockFilter::new((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, u32::MAX);
    match SockRef::from(&listener).attach_filter(&[accept_all]) {
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => Ok(()),
        Err(error) => Err(io::Error::other(format!("a filter on a listener gives {error}, not EPERM"))),
        Ok(()) => Err(io::Error::other("this process may attach a filter to a listener, as root may")),
    }
}
