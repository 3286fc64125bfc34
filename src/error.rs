//! What went wrong, split by whose move it is: the peer's fault is answered on the wire and never becomes one of
//! these (see [`Refusal`](crate::http::Refusal)); I/O is the machine's; misuse is the program's own.

use std::{error, fmt, io, sync::Arc};

/// Why a server or a group could not start, or had to end.
///
/// `Clone`, so that a report and the caller can both have it.
#[derive(Clone)]
#[non_exhaustive]
pub enum Error {
    /// The operating system said no. The text names the server and, where there is one, the address.
    Io {
        /// What was being done, in words: `server "hello": cannot listen on 127.0.0.1:80`.
        doing: String,
        /// What the operating system answered.
        source: Arc<io::Error>,
    },
    /// The API was used in a way that cannot work; the text says what to do instead.
    Misuse(String),
    /// A task of a group returned an error or panicked.
    Task {
        /// The task's name.
        name: String,
        /// The error that the task returned, or the text of its panic.
        source: Arc<dyn error::Error + Send + Sync>,
    },
}

impl Error {
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Error {
        Error::Io { doing: doing.into(), source: Arc::new(source) }
    }

    pub(crate) fn task(name: String, source: Arc<dyn error::Error + Send + Sync>) -> Error {
        Error::Task { name, source }
    }

    /// The I/O error underneath, if there is one: for instance to tell `AddrInUse` from `PermissionDenied`.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Error::Io { source, .. } => Some(source.kind()),
            Error::Misuse(_) | Error::Task { .. } => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { doing, source } => write!(f, "{doing}: {source}"),
            Error::Misuse(advice) => f.write_str(advice),
            Error::Task { name, source } => write!(f, "task {name:?} failed: {source}"),
        }
    }
}

/// The same sentence: `fn main() -> Result<(), Error>` shows it to people.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(&**source),
            Error::Task { source, .. } => Some(&**source),
            Error::Misuse(_) => None,
        }
    }
}
