//! Why a handover did not come about.

use std::{error, fmt, io};

/// Why a process was not replaced, could not take over, or gave no answer at its control socket.
///
/// The text is made for people and may change: it says what happened, and what to do. A program asks
/// [`kind`](HandoverError::kind).
///
/// Guaranteed: unless the kind is [`Lost`](HandoverErrorKind::Lost), the process that was to be replaced serves on as
/// before.
#[derive(Debug, Clone)]
pub struct HandoverError {
    kind: HandoverErrorKind,
    text: String,
    output: Vec<String>,
}

/// What sort of error a [`HandoverError`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HandoverErrorKind {
    /// Another handover is under way, or an older process still drains. Try again when it is over.
    Busy,
    /// The process stops, or has handed over already.
    Stopping,
    /// The call cannot work in this program. The text says what to do instead.
    Misuse,
    /// The new program could not be executed, there was no descriptor or thread for it, or this process could not offer its
    /// listeners, for example because a handler blocks the event loop.
    NotStarted,
    /// The new process has ended before it served.
    Exited,
    /// The new process has said why it cannot serve.
    Failed,
    /// The other process took too long.
    TimedOut,
    /// The other process does not speak the protocol, or speaks another version of it.
    Protocol,
    /// Nobody answers at the control socket, or the kernel does not let this user connect.
    Unreachable,
    /// The outcome is not known: the connection broke, or the new process hangs or has ended after it was told that it is in
    /// charge. Ask for the status.
    Lost,
}

impl HandoverErrorKind {
    /// Each kind with its word at the control socket.
    const WORDS: [(HandoverErrorKind, &str); 10] = [
        (HandoverErrorKind::Busy, "busy"),
        (HandoverErrorKind::Stopping, "stopping"),
        (HandoverErrorKind::Misuse, "misuse"),
        (HandoverErrorKind::NotStarted, "not-started"),
        (HandoverErrorKind::Exited, "exited"),
        (HandoverErrorKind::Failed, "failed"),
        (HandoverErrorKind::TimedOut, "timed-out"),
        (HandoverErrorKind::Protocol, "protocol"),
        (HandoverErrorKind::Unreachable, "unreachable"),
        (HandoverErrorKind::Lost, "lost"),
    ];

    pub(crate) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("failed", |(_, word)| word)
    }

    pub(crate) fn from_word(word: &str) -> Option<HandoverErrorKind> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

impl HandoverError {
    pub(crate) fn new(kind: HandoverErrorKind, text: impl Into<String>) -> HandoverError {
        HandoverError { kind, text: text.into(), output: Vec::new() }
    }

    pub(crate) fn io(kind: HandoverErrorKind, doing: impl fmt::Display, error: &io::Error) -> HandoverError {
        HandoverError::new(kind, format!("{doing}: {error}"))
    }

    pub(crate) fn with_output(self, output: Vec<String>) -> HandoverError {
        HandoverError { output, ..self }
    }

    /// The sort of error.
    #[must_use]
    pub fn kind(&self) -> HandoverErrorKind {
        self.kind
    }

    /// The last lines that the new process has written to standard error. Empty if the new process was not started by
    /// this one.
    #[must_use]
    pub fn output(&self) -> &[String] {
        &self.output
    }
}

impl fmt::Display for HandoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for HandoverError {}
