//! Why a context ended.

use std::{error::Error, fmt, sync::Arc};

/// Why a [`Context`](crate::Context) ended. The first cause of a context stays its cause.
///
/// A cause is an error, so a handler can return it with `?`. [`Other`](Cause::Other) is made from a text.
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
    /// The client has reset or lost its connection, so no client will read the response.
    ClientGone,
    /// A stop of the server has begun, or its grace period is over.
    Stopping,
    /// The deadline of the context, or of one above it, has passed.
    DeadlineExceeded,
    /// The text that a program gave to [`Context::cancel`](crate::Context::cancel).
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
