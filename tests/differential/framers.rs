//! The two parsers, each of which tells how it frames the bytes of a connection. One parser is the crate's own. The
//! other is hyper's, whose server connection runs over bytes in memory.

use std::cell::RefCell;
use std::error::Error;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use hyper::body::{Body, Incoming};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use softstop::{
    IntoResponse, Limits,
    internals::http::{AfterResponse, Conn, Head, ReadEvent, ReadPhase, Refusal, ResponseOptions, parts},
};

/// A complete request. Parts that can be written in several ways have one form here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Framed {
    pub(crate) method: String,
    /// The authority of an absolute-form or an authority-form target.
    pub(crate) authority: Option<String>,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// The fields, sorted, with names in lower case.
    pub(crate) fields: Vec<(String, Vec<u8>)>,
    pub(crate) content: Vec<u8>,
}

/// The state of a connection after its last complete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End<R> {
    /// The bytes end between two requests, or the connection was closed correctly.
    Done,
    /// The bytes end in the middle of a request.
    Incomplete,
    /// The next bytes are refused.
    Refused(R),
}

/// How the crate frames a connection.
pub(crate) fn softstop(mut input: &[u8]) -> (Vec<Framed>, End<Refusal>) {
    let (mut connection, mut head, limits) = (Conn::new(), Head::default(), Limits::default());
    let (mut requests, mut content, mut out) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let received = match connection.receive(input, &mut head, &limits) {
            Ok(received) => received,
            Err(refusal) => return (requests, End::Refused(refusal)),
        };
        match received.event {
            ReadEvent::NeedInput => {
                let between = connection.phase() == ReadPhase::Idle;
                return (requests, if between { End::Done } else { End::Incomplete });
            }
            ReadEvent::Head => {
                if let Err(refusal) = connection.read_body(limits.get_body_bytes()) {
                    return (requests, End::Refused(refusal));
                }
            }
            ReadEvent::Data(range) => content.extend_from_slice(&input[range]),
            ReadEvent::End => {
                requests.push(framed(&head, std::mem::take(&mut content)));
                let options = ResponseOptions { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: false };
                if connection.respond(&parts(&"ok".into_response()), options, &mut out)
                    == AfterResponse::Close
                {
                    return (requests, End::Done);
                }
            }
        }
        input = &input[received.consumed..];
    }
}

fn framed(head: &Head, content: Vec<u8>) -> Framed {
    let target_has_authority = !head.target().starts_with('/') && head.target() != "*";
    let fields = head.headers().map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()));
    Framed {
        method: head.method_str().to_owned(),
        authority: head.host().filter(|_| target_has_authority).map(str::to_owned),
        path: head.path().to_owned(),
        query: head.query().map(str::to_owned),
        fields: sorted(fields.collect()),
        content,
    }
}

/// How hyper frames a connection.
pub(crate) fn hyper(input: &[u8]) -> (Vec<Framed>, End<String>) {
    let (requests, cut_off) = (RefCell::new(Vec::new()), RefCell::new(None));
    let service = service_fn(async |mut request: hyper::Request<Incoming>| {
        let mut content = Vec::new();
        while let Some(frame) = poll_fn(|context| Pin::new(request.body_mut()).poll_frame(context)).await {
            match frame {
                // Trailers have no effect here.
                Ok(frame) => content.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(error) => {
                    *cut_off.borrow_mut() = Some(end(&error));
                    return Err("the content is not complete");
                }
            }
        }
        let uri = request.uri();
        let fields = request.headers().iter();
        let fields = fields.map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()));
        requests.borrow_mut().push(Framed {
            method: request.method().to_string(),
            authority: uri.authority().map(ToString::to_string),
            path: if uri.path().is_empty() { "/".to_owned() } else { uri.path().to_owned() },
            query: uri.query().map(str::to_owned),
            fields: sorted(fields.collect()),
            content,
        });
        Ok(hyper::Response::new("ok".to_owned()))
    });
    let mut builder = http1::Builder::new();
    let mut connection = pin!(builder.half_close(true).serve_connection(Memory(input), service));
    let mut context = Context::from_waker(Waker::noop());
    // Reads and writes never wait, so every poll makes progress or ends the connection.
    let polls = 100 + input.len();
    let outcome = (0..polls).find_map(|_| match connection.as_mut().poll(&mut context) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    });
    let end = match outcome.expect("hyper comes to an end") {
        Ok(()) => End::Done,
        Err(error) => cut_off.take().unwrap_or_else(|| end(&error)),
    };
    (requests.take(), end)
}

/// Tells wrong bytes from too few bytes.
fn end(error: &hyper::Error) -> End<String> {
    let io_error = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    let too_few = io_error.is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
    if error.is_incomplete_message() || too_few {
        return End::Incomplete;
    }
    let source = error.source().map(|source| format!(": {source}")).unwrap_or_default();
    End::Refused(format!("{error}{source}"))
}

fn sorted(mut fields: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    fields.sort();
    fields
}

/// A client that has sent everything, has closed its side, and takes every response.
struct Memory<'a>(&'a [u8]);

impl Read for Memory<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Memory<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
