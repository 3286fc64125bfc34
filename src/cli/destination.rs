//! The destination of a result: a report, a picture, a table. A path may name any kind of file, and each kind is
//! written in its own way:
//!
//! ```text
//!   a regular file      replaced in one step: a temporary file beside it, then rename. A reader sees the old or the new
//!                       file. Truncated and written if the directory or the owner does not allow the rename.
//!   a file that this    only written to, because `--report /dev/stderr 2>>log` must not erase the log
//!   process has open
//!   a pipe, a device,   only written to, for at most PATIENCE
//!   a FIFO
//! ```
//!
//! Every write is checked, and an error names the path.

use std::{
    fs::{self, File, Metadata, OpenOptions, Permissions},
    io::{self, Write},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
        io::{AsFd, BorrowedFd},
    },
    path::{Path, PathBuf},
    process,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use socket2::SockRef;

use crate::rounded::Rounded;

/// How long the reader of a pipe or FIFO may take, from the opening to the last byte. The stop is over by then, and a
/// supervisor does not wait for the process for ever.
const PATIENCE: Duration = Duration::from_secs(5);
/// The most symbolic links that lead to a file which does not exist yet. Linux follows as many.
const MOST_LINKS: usize = 40;
/// The flag of `open(2)`. The value is the same on every Linux architecture of Rust's standard library except MIPS and
/// SPARC.
#[cfg(target_os = "linux")]
const O_NONBLOCK: i32 = 0o4000;
#[cfg(not(target_os = "linux"))]
const O_NONBLOCK: i32 = 0x4;
/// The error of opening a FIFO for writing while no process reads it.
const ENXIO: i32 = 6;

/// A place for one result. Opened before the work begins, so that an unwritable path is an error at once.
#[derive(Debug)]
pub(crate) struct Destination {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A regular file, or no file yet. `target` is the end of the symbolic links.
    Regular { target: PathBuf },
    /// An open file that is only written to.
    Stream(File),
    /// A FIFO that no process reads yet.
    Unread,
}

impl Destination {
    /// Checks whether the path can be written. The old contents stay until the new contents are complete.
    pub(crate) fn open(path: &Path) -> Result<Destination, String> {
        let kind = kind_of(path).map_err(|error| cannot_write(path, &error))?;
        Ok(Destination { path: path.to_owned(), kind })
    }

    /// Writes the whole contents.
    pub(crate) fn write(self, contents: Vec<u8>) -> Result<(), String> {
        let Destination { path, kind } = self;
        let written = match kind {
            Kind::Regular { target } => write_regular(&target, &contents),
            Kind::Stream(file) => patiently(move || (&file).write_all(&contents)),
            Kind::Unread => {
                let path = path.clone();
                patiently(move || OpenOptions::new().write(true).open(path)?.write_all(&contents))
            }
        };
        written.map_err(|error| cannot_write(&path, &error))
    }
}

fn cannot_write(path: &Path, error: &io::Error) -> String {
    format!("cannot write {}: {error}", path.display())
}

fn kind_of(path: &Path) -> io::Result<Kind> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let target = follow(path)?;
            // A temporary file shows that the file can be made. An empty result would stay there until the end of the
            // run.
            let (temporary, _) = temporary_beside(&target)?;
            fs::remove_file(temporary)?;
            return Ok(Kind::Regular { target });
        }
        metadata => metadata?,
    };
    if let Some(stream) = open_already(path, &metadata)? {
        return Ok(Kind::Stream(stream));
    }
    let mut options = OpenOptions::new();
    options.write(true);
    if metadata.is_file() {
        options.open(path)?;
        return Ok(Kind::Regular { target: path.canonicalize()? });
    }
    if !metadata.file_type().is_fifo() {
        return Ok(Kind::Stream(options.open(path)?));
    }
    // Without O_NONBLOCK, `open` would wait for a reader. `open` checks the permission first.
    match options.custom_flags(O_NONBLOCK).open(path) {
        Err(error) if error.raw_os_error() == Some(ENXIO) => Ok(Kind::Unread),
        opened => {
            let file = opened?;
            // `set_nonblocking` of a socket calls `fcntl`, which works for a pipe too.
            SockRef::from(&file).set_nonblocking(false)?;
            Ok(Kind::Stream(file))
        }
    }
}

/// The file to write to, if the process has opened the file already, for instance as a log. Standard output and
/// standard error are duplicated. A second `open` would have its own position, and a socket cannot be opened by its
/// path.
fn open_already(path: &Path, metadata: &Metadata) -> io::Result<Option<File>> {
    let identity = |metadata: &Metadata| (metadata.dev(), metadata.ino());
    let is_same =
        |other: io::Result<Metadata>| other.is_ok_and(|other| identity(&other) == identity(metadata));
    let (stdout, stderr) = (io::stdout(), io::stderr());
    for standard in [stderr.as_fd(), stdout.as_fd()] {
        let file = clone_of(standard)?;
        if is_same(file.metadata()) {
            return Ok(Some(file));
        }
    }
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else { return Ok(None) };
    // Skip standard input, because nothing is written to it.
    let mut others = descriptors.flatten().filter(|entry| entry.file_name() != "0").map(|entry| entry.path());
    if others.any(|descriptor| is_same(fs::metadata(descriptor))) {
        return OpenOptions::new().append(true).open(path).map(Some);
    }
    Ok(None)
}

fn clone_of(descriptor: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from(descriptor.try_clone_to_owned()?))
}

/// The end of a chain of symbolic links whose last file does not exist.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut target = std::path::absolute(path)?;
    for _ in 0..MOST_LINKS {
        match fs::read_link(&target) {
            // A relative link starts from the directory of the link.
            Ok(next) => target = target.parent().unwrap_or(Path::new("/")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::ErrorKind::InvalidInput.into())
}

fn write_regular(target: &Path, contents: &[u8]) -> io::Result<()> {
    match replacement(target) {
        Ok((temporary, mut file)) => {
            let written = file.write_all(contents).and_then(|()| file.sync_all());
            let replaced = written.map(|()| fs::rename(&temporary, target));
            if !matches!(replaced, Ok(Ok(()))) {
                // The removal fails if another process has removed the file already, which is fine.
                _ = fs::remove_file(&temporary);
            }
            match replaced {
                // The target is a mount point, or another user's file in a sticky directory.
                Ok(Err(_)) => overwrite(target, contents),
                Ok(Ok(())) => Ok(()),
                // The disk is full, for example. The old contents are still there.
                Err(error) => Err(error),
            }
        }
        Err(_) => overwrite(target, contents),
    }
}

fn overwrite(target: &Path, contents: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(target)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// A temporary file that can replace the target: the file has the target's owner and mode.
fn replacement(target: &Path) -> io::Result<(PathBuf, File)> {
    let old = match fs::metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        old => Some(old?),
    };
    if old.as_ref().is_some_and(|old| !old.is_file() || old.nlink() > 1) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let (temporary, file) = temporary_beside(target)?;
    let prepare = |old: &Metadata| {
        let made = file.metadata()?;
        if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
        // Set the mode after the owner, because the change of owner clears some bits of the mode.
        file.set_permissions(Permissions::from_mode(old.mode() & 0o7777))
    };
    match old.as_ref().map_or(Ok(()), prepare) {
        Ok(()) => Ok((temporary, file)),
        Err(error) => {
            _ = fs::remove_file(temporary);
            Err(error)
        }
    }
}

/// A new file in the directory of the target.
fn temporary_beside(target: &Path) -> io::Result<(PathBuf, File)> {
    let name = target.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let temporary = target.with_file_name(format!(".{}.{}", name.to_string_lossy(), process::id()));
    let make = || OpenOptions::new().write(true).create_new(true).open(&temporary);
    let file = match make() {
        // The file belongs to an earlier process that had the same process id and was killed.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(&temporary)?;
            make()?
        }
        made => made?,
    };
    Ok((temporary, file))
}

/// Writes on a thread of its own, because a write to a pipe that no process reads has no time limit. The process ends
/// soon afterwards, and the thread ends with the process.
fn patiently(write: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let result = Arc::new((Mutex::new(None), Condvar::new()));
    thread::Builder::new().name("result".to_owned()).spawn({
        let result = Arc::clone(&result);
        move || {
            let written = write();
            *result.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(written);
            result.1.notify_all();
        }
    })?;
    let waiting = result.0.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = result.1.wait_timeout_while(waiting, PATIENCE, |result| result.is_none());
    waited.unwrap_or_else(PoisonError::into_inner).0.take().unwrap_or_else(|| {
        let message = format!("nobody has read it within {}", Rounded(PATIENCE));
        Err(io::Error::new(io::ErrorKind::TimedOut, message))
    })
}
