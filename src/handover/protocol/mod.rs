//! The protocol of a handover and of the control socket, without sockets: bytes become lines, lines become messages, and a
//! message moves the state of one side. Tests play every message, deadline and end in every state.
//!
//! | file | |
//! | --- | --- |
//! | `lines` | bytes become lines, however they are cut |
//! | `words` | the form of a line |
//! | `message` | what old and new say to each other |
//! | `request` | what a client of the control socket says, and the answers |
//! | `old` | the states of the process that hands over |
//! | `new` | the states of the process that takes over |

mod lines;
mod message;
mod new;
mod old;
mod request;
mod words;

use std::fmt;

pub(crate) use self::{
    lines::{LONGEST_LINE, Lines},
    message::{ControlSocket, FromNew, FromOld, MOST_LISTENERS, Offered},
    new::{NewAction, NewFailure, NewInput, NewState, OldProcess},
    old::{EndOfNew, OldAction, OldInput, OldState},
    request::{Answer, Request, ServerLine, StatusLine},
};

/// The first word of the first line of each side. A change of the protocol changes the number.
pub(crate) const VERSION: &str = "softstop/1";

/// The other side did not keep to the protocol. The text says what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Garbage(String);

impl Garbage {
    pub(crate) fn new(expected: impl Into<String>) -> Garbage {
        Garbage(expected.into())
    }
}

impl Garbage {
    /// What was expected, without the word.
    pub(crate) fn expected(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Garbage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}
