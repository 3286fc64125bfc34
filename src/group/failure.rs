//! The error of a group that failed: the cause, and the report.

use std::{error, fmt, io};

use super::GroupReport;
use crate::error::{Error, ErrorKind};

/// Why a [`Group`](super::Group) could not start, or had to end: the cause, with the group's report.
///
/// `Display` and `Debug` show the cause alone, so `fn main() -> Result<(), GroupError>` and `Box<dyn Error>` both show one
/// sentence to people. `?` makes an [`Error`] of it, which has lost the report.
///
/// To look at the error of a task, follow `source`:
///
/// ```
/// use std::{error::Error, num::ParseIntError};
/// use softstop::Group;
///
/// let group = Group::new().task("reader", |_| "seven".parse::<u32>().map(drop));
/// let error = group.run().unwrap_err();
/// assert!(error.source().is_some_and(|source| source.is::<ParseIntError>()));
/// assert!(!error.report().is_clean());
/// ```
#[derive(Clone)]
pub struct GroupError(Box<Failure>);

#[derive(Clone)]
struct Failure {
    report: GroupReport,
    cause: Error,
}

impl GroupError {
    pub(crate) fn new(report: GroupReport, cause: Error) -> GroupError {
        GroupError(Box::new(Failure { report, cause }))
    }

    /// The report of the servers, tasks and drains. If the group could not start, the report has the servers alone.
    #[must_use]
    pub fn report(&self) -> &GroupReport {
        &self.0.report
    }

    /// The report, without the cause.
    #[must_use]
    pub fn into_report(self) -> GroupReport {
        self.0.report
    }

    /// The first thing that failed.
    #[must_use]
    pub fn cause(&self) -> &Error {
        &self.0.cause
    }

    /// The sort of the cause: see [`Error::kind`].
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.cause.kind()
    }

    /// The name of the task that failed, if a task is the cause: see [`Error::task`].
    #[must_use]
    pub fn task(&self) -> Option<&str> {
        self.0.cause.task()
    }

    /// The I/O error underneath, if there is one: see [`Error::io_kind`].
    #[must_use]
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        self.0.cause.io_kind()
    }
}

impl From<GroupError> for Error {
    fn from(error: GroupError) -> Error {
        error.0.cause
    }
}

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.cause, f)
    }
}

/// The same sentence as `Display`, because `main` shows the `Debug` form of its error to people.
impl fmt::Debug for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.cause, f)
    }
}

impl error::Error for GroupError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        error::Error::source(&self.0.cause)
    }
}
