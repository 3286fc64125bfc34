//! The contents of messages.
//!
//! - A response has a [`Body`]: bytes in memory, a stream that senders feed, or the hand-over of the connection to its handler.
//! - A request whose handler reads the content while it arrives has a `pipe`.

pub(crate) mod pipe;
pub(crate) mod stream;
pub(crate) mod upgrade;

use std::sync::Arc;

pub use self::{
    stream::{BodySender, SendError, Stream},
    upgrade::{Upgrade, Upgraded},
};

/// The content of a response: in memory, or sent while the client reads it (see [`Body::stream`]).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Body {
    /// No content.
    #[default]
    Empty,
    /// Content that lives as long as the program.
    Static(&'static [u8]),
    /// Content that was made for this response.
    Bytes(Vec<u8>),
    /// Content that others have too, and that is not copied for this response: a cached page, or what
    /// [`Request::shared_body`](crate::Request::shared_body) gives.
    Shared(Arc<Vec<u8>>),
    /// Content that is sent bit by bit. A clone is the same content: the first response that goes out has it, and one with
    /// a clone is cut off.
    Stream(Stream),
    /// No content: the connection is handed over. Made by [`Request::upgrade`](crate::Request::upgrade).
    Upgrade(Upgrade),
}

impl Body {
    /// The number of bytes in memory; those of a stream are not.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there is not a single byte in memory.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// The bytes in memory.
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Body::Empty | Body::Stream(_) | Body::Upgrade(_) => &[],
            Body::Static(bytes) => bytes,
            Body::Bytes(bytes) => bytes,
            Body::Shared(bytes) => bytes,
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Body::Static(text.as_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Body::Static(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Body::Bytes(text.into_bytes())
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::Bytes(bytes)
    }
}

impl From<Arc<Vec<u8>>> for Body {
    fn from(bytes: Arc<Vec<u8>>) -> Self {
        Body::Shared(bytes)
    }
}
