//! Whether a path still leads to the file that it led to before. The kernel does not tell this from the descriptor of a socket, so
//! the process that binds a Unix socket notes it, and hands it over with the socket.

use std::{fmt, fs, io, os::unix::fs::MetadataExt, path::Path, str::FromStr};

/// A file, whatever paths lead to it. Valid as long as the file exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    /// The file at this path. A symbolic link is a file of its own.
    pub(crate) fn at(path: &Path) -> io::Result<FileIdentity> {
        let file = fs::symlink_metadata(path)?;
        Ok(FileIdentity { device: file.dev(), inode: file.ino() })
    }

    pub(crate) fn is_at(self, path: &Path) -> bool {
        FileIdentity::at(path).is_ok_and(|there| there == self)
    }
}

/// As in a message to another process.
impl fmt::Display for FileIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.device, self.inode)
    }
}

impl FromStr for FileIdentity {
    type Err = ();

    fn from_str(text: &str) -> Result<FileIdentity, ()> {
        let (device, inode) = text.split_once(':').ok_or(())?;
        let number = |text: &str| text.parse().map_err(|_| ());
        Ok(FileIdentity { device: number(device)?, inode: number(inode)? })
    }
}
