//! Why a context ended.

use std::{error::Error, fmt, sync::Arc};

/// Why a [`Context`](crate::Context) ended. The first cause is the one that stays.
///
/// # Examples
///
/// ```
/// use softstop::Cause;
///
/// let cause = Cause::from("the operator said so");
/// assert_eq!(cause.to_string(), "the operator said so");
/// assert_ne!(cause, Cause::Stopping);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The client has closed or reset its connection: nobody will read the answer.
    ClientGone,
    /// The server is being stopped.
    Stopping,
    /// The deadline of the context, or of one above it, has passed.
    DeadlineExceeded,
    /// Whatever the caller of [`Context::cancel`](crate::Context::cancel) says.
    Other(Arc<str>),
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Cause::ClientGone => "the client is gone",
            Cause::Stopping => "the server is stopping",
            Cause::DeadlineExceeded => "the deadline has passed",
            Cause::Other(words) => words,
        })
    }
}

impl Error for Cause {}

impl From<&str> for Cause {
    fn from(words: &str) -> Cause {
        Cause::Other(words.into())
    }
}

impl From<String> for Cause {
    fn from(words: String) -> Cause {
        Cause::Other(words.into())
    }
}
