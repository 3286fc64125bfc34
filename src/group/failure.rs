//! A group that failed: the cause, and what became of everything all the same.

use std::{error, fmt, io};

use super::GroupReport;
use crate::error::Error;

/// Why a [`Group`](super::Group) could not start, or had to end: the first cause, with the group's report.
///
/// It is shown as its cause alone, and becomes an [`Error`] with `?`.
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

    /// What became of the servers, the tasks and the drains. If the group could not start, it has the servers alone.
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

    /// The I/O error underneath, if there is one, as [`Error::io_kind`].
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

/// The same sentence: `fn main() -> Result<(), GroupError>` shows it to people.
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
