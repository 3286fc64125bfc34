//! Readiness by a newline: s6 gives the service a descriptor and waits for a line on it (`notification-fd`).
//!
//! A number from the command line names the descriptor, and safe code cannot take over a number. So this file asks the kernel for
//! a second descriptor of the same open file, in one of two ways:
//!
//! | way | needs | fails |
//! | --- | --- | --- |
//! | pidfd_getfd(2) on this process | Linux 5.6, the feature `deploy` | where a filter of system calls forbids it, as Docker's does |
//! | open(2) of `/proc/self/fd/N` or `/dev/fd/N` | `/proc` | for a pipe of another user: the supervisor is root, and the service is not. For a socket always. |

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
};

use crate::error::Error;

/// A descriptor on which a supervisor waits for one newline.
///
/// Not guaranteed: that the descriptor itself is closed afterwards. Only its duplicate is, because safe code cannot close a number.
/// s6 does not wait for the close.
///
/// ```no_run
/// use softstop::deploy::ReadyDescriptor;
///
/// let ready = ReadyDescriptor::open(3)?; // the content of the file `notification-fd`
/// // ... start to serve
/// ready.announce()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ReadyDescriptor(File);

impl ReadyDescriptor {
    /// The descriptor with this number, which the process has inherited.
    ///
    /// Call this before the process opens anything, because the number must not name a descriptor of the process's own.
    ///
    /// # Errors
    ///
    /// If the descriptor is not open for writing, or cannot be duplicated in either way. The text says why.
    pub fn open(number: u32) -> Result<ReadyDescriptor, Error> {
        let failed = |error| Error::io(format!("descriptor {number} for readiness"), error);
        let file = duplicate(number).map_err(failed)?;
        check_writable(&file).map_err(failed)?;
        Ok(ReadyDescriptor(file))
    }

    /// Says that the service is ready.
    ///
    /// # Errors
    ///
    /// If the supervisor has closed its end, for instance.
    pub fn announce(mut self) -> io::Result<()> {
        self.0.write_all(b"\n")
    }
}

/// Another descriptor of the same file.
fn duplicate(number: u32) -> io::Result<File> {
    match by_number(number) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => by_path(number).map_err(|_| error),
        Err(_) => Err(io::Error::new(io::ErrorKind::NotFound, "it is not open: expected a number such as 3")),
        Ok(file) => Ok(file),
    }
}

#[cfg(all(feature = "deploy", target_os = "linux"))]
fn by_number(number: u32) -> io::Result<File> {
    use rustix::{
        io::Errno,
        process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open},
    };

    let number = i32::try_from(number).map_err(|_| io::ErrorKind::NotFound)?;
    let this_process = pidfd_open(getpid(), PidfdFlags::empty())?;
    match pidfd_getfd(this_process, number, PidfdGetfdFlags::empty()) {
        Ok(descriptor) => Ok(descriptor.into()),
        Err(Errno::BADF) => Err(io::ErrorKind::NotFound.into()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(all(feature = "deploy", target_os = "linux")))]
fn by_number(_: u32) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

fn by_path(number: u32) -> io::Result<File> {
    let open = |path: &str| OpenOptions::new().write(true).open(format!("{path}/{number}"));
    open("/proc/self/fd").or_else(|_| open("/dev/fd"))
}

#[cfg(feature = "deploy")]
fn check_writable(file: &File) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl};

    match fcntl_getfl(file)? & OFlags::ACCMODE {
        OFlags::WRONLY | OFlags::RDWR => Ok(()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not open for writing")),
    }
}

#[cfg(not(feature = "deploy"))]
fn check_writable(_: &File) -> io::Result<()> {
    Ok(())
}
