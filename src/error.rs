//! The errors of the crate. A client's fault is never one of them: the server answers it on the wire
//! (see [`Refusal`](crate::http::Refusal)).
//!
//! ```text
//!   what is at fault                kind            what the text tells the reader
//!   the operating system says no    Io              what was being done, with which address or thread
//!   the program calls the API so
//!     that it cannot work           Misuse          what to call instead
//!   a task of a group fails         Task            which task, and its own error
//!   a thread of softstop panics     Defect          to restart the process, and to report the panic
//! ```

use std::{error, fmt, io, sync::Arc};

/// Why a server or a group could not start, or had to end.
///
/// The text is made for people and may change. A program asks [`kind`](Error::kind), [`io_kind`](Error::io_kind) and
/// [`task`](Error::task). `Clone`, so that a report and its caller can both have the error.
///
/// ```
/// use softstop::{ErrorKind, Server};
///
/// let error = Server::builder().name("hello").build().start().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Misuse);
/// assert_eq!(error.to_string(), "hello: has no address: call ServerBuilder::listen before build");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Detail>);

/// What sort of error an [`Error`] is, and so what can be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The operating system said no. [`Error::io_kind`] says how, for instance `AddrInUse`. The text names the server
    /// and, where there is one, the address. The same call may succeed later, or with another address.
    Io,
    /// The program called the API in a way that cannot work. The text says what to call instead. The same call fails
    /// again until the program is changed, or until the server's phase is another one.
    Misuse,
    /// A task of a group returned an error or panicked. [`Error::task`] has the task's name.
    Task,
    /// A thread of softstop panicked. Panics of handlers, observers and callbacks are caught, so only a defect of
    /// softstop, or of a crate that it uses, can cause this. Restart the process, and report the text.
    Defect,
}

/// What an error is made of.
enum Detail {
    Io { doing: String, source: io::Error },
    Misuse(String),
    Task { name: String, source: Arc<dyn error::Error + Send + Sync> },
    Defect(String),
}

impl Error {
    fn new(detail: Detail) -> Error {
        Error(Arc::new(detail))
    }

    /// `doing` says what was being done: `hello: cannot listen on 127.0.0.1:80`.
    pub(crate) fn io(doing: impl Into<String>, source: io::Error) -> Error {
        Error::new(Detail::Io { doing: doing.into(), source })
    }

    /// `advice` says what is wrong and what to call instead.
    pub(crate) fn misuse(advice: impl Into<String>) -> Error {
        Error::new(Detail::Misuse(advice.into()))
    }

    /// `source` is the error that the task has returned, shared with its report, or the text of its panic.
    pub(crate) fn task_failed(name: impl Into<String>, source: Arc<dyn error::Error + Send + Sync>) -> Error {
        Error::new(Detail::Task { name: name.into(), source })
    }

    /// `seen` says which thread panicked, and with which text.
    pub(crate) fn defect(seen: impl Into<String>) -> Error {
        Error::new(Detail::Defect(seen.into()))
    }

    /// The sort of error: I/O, misuse, a task, or a defect.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match &*self.0 {
            Detail::Io { .. } => ErrorKind::Io,
            Detail::Misuse(_) => ErrorKind::Misuse,
            Detail::Task { .. } => ErrorKind::Task,
            Detail::Defect(_) => ErrorKind::Defect,
        }
    }

    /// The kind of the I/O error, for instance to tell `AddrInUse` from `PermissionDenied`. `None` for every other
    /// [kind](Error::kind) of error.
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match &*self.0 {
            Detail::Io { source, .. } => Some(source.kind()),
            Detail::Misuse(_) | Detail::Task { .. } | Detail::Defect(_) => None,
        }
    }

    /// The name of the task that failed. [`source`](error::Error::source) is the task's own error. `None` for every other
    /// [kind](Error::kind) of error.
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        match &*self.0 {
            Detail::Task { name, .. } => Some(name),
            Detail::Io { .. } | Detail::Misuse(_) | Detail::Defect(_) => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Detail::Io { doing, source } => write!(f, "{doing}: {source}"),
            Detail::Misuse(advice) => f.write_str(advice),
            Detail::Task { name, source } => write!(f, "task {name:?} failed: {source}"),
            Detail::Defect(seen) => {
                write!(
                    f,
                    "{seen} (a defect of softstop or of a crate that it uses: restart, and report this)"
                )
            }
        }
    }
}

/// The same sentence as `Display`, because `fn main() -> Result<(), Error>` shows it to people.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &*self.0 {
            Detail::Io { source, .. } => Some(source),
            Detail::Task { source, .. } => Some(&**source),
            Detail::Misuse(_) | Detail::Defect(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    fn writer_failed(source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Error {
        Error::task_failed("writer", source.into().into())
    }

    fn refused() -> io::Error {
        io::Error::from(io::ErrorKind::AddrInUse)
    }

    #[test]
    fn a_program_learns_what_went_wrong_without_reading_the_text() {
        let asked = |error: &Error| (error.kind(), error.io_kind(), error.task().map(str::to_owned));
        let io = Error::io("hello: cannot listen on :80", refused());
        assert_eq!(asked(&io), (ErrorKind::Io, Some(io::ErrorKind::AddrInUse), None));
        assert_eq!(asked(&Error::misuse("call listen")), (ErrorKind::Misuse, None, None));
        let task = writer_failed(refused());
        assert_eq!(asked(&task), (ErrorKind::Task, None, Some("writer".to_owned())));
        assert_eq!(asked(&Error::defect("a loop panicked")), (ErrorKind::Defect, None, None));
    }

    #[test]
    fn the_source_is_the_error_below() {
        let source_kind = |error: &Error| {
            let source = error.source()?;
            Some(source.downcast_ref::<io::Error>()?.kind())
        };
        for below in [Error::io("hello: cannot listen", refused()), writer_failed(refused())] {
            assert_eq!(source_kind(&below), Some(io::ErrorKind::AddrInUse), "{below}");
            assert_eq!(source_kind(&below.clone()), Some(io::ErrorKind::AddrInUse), "{below}");
        }
        assert_eq!(writer_failed("disk full").source().unwrap().to_string(), "disk full");
        assert!(Error::misuse("call listen").source().is_none());
        assert!(Error::defect("a loop panicked").source().is_none());
    }

    #[test]
    fn each_text_says_what_to_do_or_what_has_failed() {
        assert_eq!(Error::misuse("hello: call listen").to_string(), "hello: call listen");
        assert_eq!(format!("{:?}", writer_failed("disk full")), "task \"writer\" failed: disk full");
        assert_eq!(
            Error::defect("hello: an event loop panicked: boom").to_string(),
            "hello: an event loop panicked: boom (a defect of softstop or of a crate that it uses: restart, and \
             report this)"
        );
    }
}
