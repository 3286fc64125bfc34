//! The contents of messages.
//!
//! A response has a [`Body`]: bytes in memory, a stream that a [`BodySender`] feeds, or the hand-over of the connection to its
//! handler ([`Upgraded`]).

// A request whose handler reads the content while it arrives has a `pipe`.

pub(crate) mod pipe;
pub(crate) mod stream;
pub(crate) mod upgrade;
pub(crate) mod upgraded_stream;

use std::{borrow::Cow, fmt, sync::Arc};

pub(crate) use self::{stream::Stream, upgrade::Upgrade};
pub use self::{
    stream::{BodySender, SendError},
    upgrade::Upgraded,
    upgraded_stream::UpgradedStream,
};

/// The content of a response: in memory, or sent while the client reads it.
///
/// | from | constructor | length |
/// | --- | --- | --- |
/// | nothing | [`Body::empty`] | 0 |
/// | a constant | `From<&'static str>`, `From<&'static [u8]>` | known |
/// | a value that was made for this response | `From<String>`, `From<Vec<u8>>`, `From<Cow<'static, str>>` | known |
/// | a value that others have too | `From<Arc<Vec<u8>>>`: no byte is copied | known |
/// | senders, on any thread | [`Body::stream`] | unknown, unless [declared](Body::with_length) |
/// | a reader | [`Body::from_reader`] | unknown, unless [declared](Body::with_length) |
/// | a file | [`Body::from_file`] | known if the file is a regular one |
///
/// A body is sent once, so it is not `Clone`: two responses cannot share one stream. [`Body::try_clone`] copies a body in memory.
///
/// A middleware that looks at a content has to expect one that is not in memory:
///
/// ```
/// use softstop::{Body, Request, Response, middleware::Next};
///
/// let shout = |request: &Request, next: &Next| -> Response {
///     let response = next.run(request);
///     match response.body().as_bytes() {
///         Some(bytes) => {
///             let louder = bytes.to_ascii_uppercase();
///             response.with_body(louder)
///         }
///         None => response, // a stream: nothing is in memory yet
///     }
/// };
/// # let _ = shout;
/// assert_eq!(Body::from("Hello").content_length(), Some(5));
/// ```
#[derive(Default)]
pub struct Body {
    kind: BodyKind,
}

/// Where the content is.
#[derive(Debug, Default)]
pub(crate) enum BodyKind {
    #[default]
    Empty,
    /// Content that lives as long as the program.
    Static(&'static [u8]),
    /// Content that was made for this response.
    Bytes(Vec<u8>),
    /// Content that others have too, such as a cached page.
    Shared(Arc<Vec<u8>>),
    /// Content that is sent bit by bit.
    Stream(Stream),
    /// No content: the connection is handed over to the handler of an upgrade.
    Upgrade(Upgrade),
}

impl Body {
    /// No content.
    #[must_use]
    pub const fn empty() -> Body {
        Body { kind: BodyKind::Empty }
    }

    /// The number of bytes, or `None` for a stream whose length was not [declared](Body::with_length). The response to an
    /// [upgrade](crate::Request::upgrade) has no content, so its length is 0.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        match &self.kind {
            BodyKind::Stream(stream) => stream.length(),
            _ => Some(self.in_memory().len() as u64),
        }
    }

    /// The whole content, if it is in memory. `None` for a stream, and for the response to an
    /// [upgrade](crate::Request::upgrade): if a middleware replaced that one, the connection would not be handed over.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match &self.kind {
            BodyKind::Stream(_) | BodyKind::Upgrade(_) => None,
            _ => Some(self.in_memory()),
        }
    }

    /// A copy of a content that is in memory; `None` where [`Body::as_bytes`] is. The bytes themselves are copied only if the
    /// body was made of a `String` or a `Vec`: use an `Arc` for a content that is sent often.
    #[must_use]
    pub fn try_clone(&self) -> Option<Body> {
        let kind = match &self.kind {
            BodyKind::Empty => BodyKind::Empty,
            BodyKind::Static(bytes) => BodyKind::Static(bytes),
            BodyKind::Bytes(bytes) => BodyKind::Bytes(bytes.clone()),
            BodyKind::Shared(bytes) => BodyKind::Shared(Arc::clone(bytes)),
            BodyKind::Stream(_) | BodyKind::Upgrade(_) => return None,
        };
        Some(Body { kind })
    }

    /// The bytes in memory: none of a stream and of an upgrade.
    pub(crate) fn in_memory(&self) -> &[u8] {
        match &self.kind {
            BodyKind::Empty | BodyKind::Stream(_) | BodyKind::Upgrade(_) => &[],
            BodyKind::Static(bytes) => bytes,
            BodyKind::Bytes(bytes) => bytes,
            BodyKind::Shared(bytes) => bytes,
        }
    }

    pub(crate) fn kind(&self) -> &BodyKind {
        &self.kind
    }

    pub(crate) fn into_kind(self) -> BodyKind {
        self.kind
    }
}

impl From<BodyKind> for Body {
    fn from(kind: BodyKind) -> Body {
        Body { kind }
    }
}

impl From<Stream> for Body {
    fn from(stream: Stream) -> Body {
        BodyKind::Stream(stream).into()
    }
}

impl From<Upgrade> for Body {
    fn from(upgrade: Upgrade) -> Body {
        BodyKind::Upgrade(upgrade).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Body {
        BodyKind::Static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Body {
        BodyKind::Static(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Body {
        BodyKind::Bytes(text.into_bytes()).into()
    }
}

impl From<Cow<'static, str>> for Body {
    fn from(text: Cow<'static, str>) -> Body {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Body {
        BodyKind::Bytes(bytes).into()
    }
}

/// Content that others have too: a cached page, or [`Request::shared_body`](crate::Request::shared_body). No byte is copied.
impl From<Arc<Vec<u8>>> for Body {
    fn from(bytes: Arc<Vec<u8>>) -> Body {
        BodyKind::Shared(bytes).into()
    }
}

/// Says what kind of content it is and how long, never what is in it.
impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            BodyKind::Stream(_) => "stream",
            BodyKind::Upgrade(_) => "upgrade",
            _ => "in memory",
        };
        f.debug_struct("Body").field("kind", &kind).field("content_length", &self.content_length()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_in_memory_can_be_looked_at_and_copied() {
        let bodies = [
            (Body::empty(), ""),
            (Body::default(), ""),
            (Body::from("text"), "text"),
            (Body::from(&b"bytes"[..]), "bytes"),
            (Body::from("made".to_owned()), "made"),
            (Body::from(Cow::Borrowed("borrowed")), "borrowed"),
            (Body::from(b"vector".to_vec()), "vector"),
            (Body::from(Arc::new(b"shared".to_vec())), "shared"),
        ];
        for (body, text) in bodies {
            assert_eq!(body.content_length(), Some(text.len() as u64), "{body:?}");
            assert_eq!(body.as_bytes(), Some(text.as_bytes()), "{body:?}");
            assert_eq!(body.try_clone().unwrap().as_bytes(), Some(text.as_bytes()), "{body:?}");
            // To declare a length changes nothing.
            assert_eq!(body.with_length(1000).as_bytes(), Some(text.as_bytes()));
        }
    }

    #[test]
    fn a_stream_has_the_length_that_was_declared_and_no_copy() {
        let (_sender, body) = Body::stream(16);
        assert_eq!((body.content_length(), body.as_bytes()), (None, None));
        assert!(body.try_clone().is_none());
        let body = body.with_length(7);
        assert_eq!((body.content_length(), body.as_bytes()), (Some(7), None));
        assert_eq!(format!("{body:?}"), "Body { kind: \"stream\", content_length: Some(7) }");
        let body = Body::from_reader(std::io::empty());
        assert_eq!((body.content_length(), body.as_bytes()), (None, None));
    }

    #[test]
    fn a_shared_content_is_copied_without_its_bytes() {
        let page = Arc::new(b"page".to_vec());
        let copy = Body::from(Arc::clone(&page)).try_clone().unwrap();
        assert_eq!(Arc::strong_count(&page), 2, "the first body is dropped, the copy has the page");
        assert_eq!(copy.as_bytes().map(<[u8]>::as_ptr), Some(page.as_ptr()));
    }
}
