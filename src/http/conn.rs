//! The state of one connection, from request to request.
//!
//! ```text
//!          a head          read_body            the last byte
//!   Head ----------> Offered ------> Content -------------------> Handling
//!    ^                  |                                        ^    |
//!    |                  +--------- there is no content ----------+    |
//!    +--------------------------- respond ----------------------------+
//!
//!   Head, Offered, Content -- a refusal ----------> Closed
//!   Offered, Content -------- an early response --> Closed
//!   Handling ---------------- a closing response -> Closed
//! ```
//!
//! This file has the states and the reading; `respond` has the answers.

mod respond;

use std::ops::Range;

use super::body::Decoder;
use super::parse::{self, Parsed};
use super::scan::Scan;
use super::{Framing, Head, Limits, Method, Refusal, Version};
pub use respond::{AfterResponse, ResponseOptions};

/// The state of one connection (RFC 9112). The state holds no bytes: the caller keeps those that are not consumed yet.
///
/// ```
/// use softstop::{IntoResponse, Limits, internals::http::{AfterResponse, Conn, Head, ReadEvent, ResponseOptions, parts}};
///
/// let (mut connection, mut head, limits) = (Conn::new(), Head::default(), Limits::default());
/// let mut input = &b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"[..];
/// let (mut body, mut out) = (Vec::new(), Vec::new());
/// let after = loop {
///     let received = connection.receive(input, &mut head, &limits)?;
///     match received.event {
///         ReadEvent::Head => connection.read_body(limits.get_body_bytes())?,
///         ReadEvent::Data(range) => body.extend_from_slice(&input[range]),
///         ReadEvent::NeedInput => unreachable!("the request is complete"),
///         ReadEvent::End => {
///             let options = ResponseOptions { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: false };
///             break connection.respond(&parts(&body.into_response()), options, &mut out);
///         }
///     }
///     input = &input[received.consumed..];
/// };
/// assert_eq!(after, AfterResponse::Close, "the client did not ask for the connection to persist");
/// assert!(out.ends_with(b"\r\n\r\nhello"));
/// # Ok::<(), softstop::internals::http::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Conn {
    state: State,
    /// The method of the request in progress, because the answer to HEAD has no content.
    method: Method,
    /// The version of the request in progress, because an HTTP/1.0 client knows no chunks and has to be told of persistence.
    version: Version,
    /// What the request in progress asks for. A response may still close a connection that was to persist.
    after: AfterResponse,
}

#[derive(Debug)]
enum State {
    /// The head of the next request is not complete.
    Head(Scan),
    /// The head was returned. The caller has not yet said whether it wants the content.
    Offered(Offer),
    /// The content is coming in.
    Content(Decoder, Interim),
    /// The request is complete; a response is owed.
    Handling,
    /// The last response is encoded. What still arrives is consumed and ignored.
    Closed(MayFollow),
}

/// What a client that keeps the rules may still send on a connection that is closed for requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MayFollow {
    /// The rest of a request, and anything behind it.
    Anything,
    /// Further requests: the last one was read whole, and the client has not said that it was the last.
    Requests,
    /// Nothing: the client has said that its last request was the last, and has sent that request whole (RFC 9112 section
    /// 9.6).
    Nothing,
}

#[derive(Debug, Clone, Copy)]
struct Offer {
    framing: Framing,
    interim: Interim,
}

/// Whether an interim response is owed (RFC 9110 section 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interim {
    None,
    Continue,
}

/// What [`Conn::receive`] made of its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// How many bytes of the input are used up. The caller presents the others again.
    pub consumed: usize,
    /// What these bytes meant.
    pub event: ReadEvent,
}

/// One step in reading a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadEvent {
    /// Nothing more can be said about these bytes until others follow them.
    NeedInput,
    /// A head is complete. The caller calls [`Conn::read_body`] next, or responds early.
    Head,
    /// A part of the content: that range of the input.
    Data(Range<usize>),
    /// The request is complete. The caller responds next.
    End,
}

/// How far the reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPhase {
    /// Between requests. No byte of the next one has been seen, other than empty lines before it.
    Idle,
    /// Inside a head.
    InHead,
    /// Behind a head and before the end of the request.
    InBody,
    /// The request is complete and its response is owed.
    Handling,
    /// No further request is read.
    Closed,
}

impl Default for Conn {
    fn default() -> Self {
        Conn::new()
    }
}

impl Conn {
    /// A connection that was just opened.
    pub const fn new() -> Self {
        Conn {
            state: State::Head(Scan::START),
            method: Method::Other,
            version: Version::Http11,
            after: AfterResponse::Close,
        }
    }

    /// Takes one step over `input`: all bytes that were received and are not consumed yet. The caller calls it again with the
    /// rest until it returns [`ReadEvent::NeedInput`], and then when there are more bytes.
    ///
    /// - An incomplete head or trailer section is not consumed at all. So the caller's buffer must be able to hold one as large
    ///   as the limits allow: `target_bytes + header_bytes + 64`.
    /// - [`ReadEvent::Head`] fills `head`, which stays as it is until the next request begins to arrive.
    /// - A request without content goes on with [`ReadEvent::End`] at once, even for an empty `input`. A request with content
    ///   rests until [`Conn::read_body`] is called.
    /// - The caller must not call it while a response is owed.
    /// - After the connection's last response it consumes and ignores everything.
    ///
    /// # Errors
    /// If the client broke a rule. The connection is [`ReadPhase::Closed`] then, and [`Conn::refuse`] encodes the answer.
    pub fn receive(&mut self, input: &[u8], head: &mut Head, limits: &Limits) -> Result<Received, Refusal> {
        match self.step(input, head, limits) {
            Err(refusal) => {
                self.state = State::Closed(MayFollow::Anything);
                Err(refusal)
            }
            received => received,
        }
    }

    fn step(&mut self, input: &[u8], head: &mut Head, limits: &Limits) -> Result<Received, Refusal> {
        let need_input = |consumed| Ok(Received { consumed, event: ReadEvent::NeedInput });
        match &mut self.state {
            State::Head(scan) => {
                if input.is_empty() || !scan.is_due(input) {
                    return need_input(0);
                }
                self.receive_head(input, head, limits)
            }
            State::Offered(offer) if offer.framing.is_empty() => {
                self.state = State::Handling;
                Ok(Received { consumed: 0, event: ReadEvent::End })
            }
            State::Offered(_) => need_input(0),
            State::Content(decoder, interim) => {
                if !input.is_empty() {
                    // The client sends, so it does not wait for the interim response, or no longer.
                    *interim = Interim::None;
                }
                let received = decoder.receive(input, limits)?;
                if received.event == ReadEvent::End {
                    self.state = State::Handling;
                }
                Ok(received)
            }
            State::Handling => {
                debug_assert!(false, "a response is owed");
                need_input(0)
            }
            State::Closed(_) => need_input(input.len()),
        }
    }

    fn receive_head(&mut self, input: &[u8], head: &mut Head, limits: &Limits) -> Result<Received, Refusal> {
        let parsed = parse::head(input, head, limits);
        if let Ok(Parsed::Complete(consumed)) = parsed {
            self.begin(head);
            return Ok(Received { consumed, event: ReadEvent::Head });
        }
        // The request may be refused before its head is complete, and the answer to HEAD has no content.
        let is_head_request = input.trim_ascii_start().starts_with(b"HEAD ");
        self.method = if is_head_request { Method::Head } else { Method::Other };
        self.version = Version::Http11;
        if let Parsed::Incomplete(scan) = parsed? {
            self.state = State::Head(scan);
        }
        Ok(Received { consumed: 0, event: ReadEvent::NeedInput })
    }

    fn begin(&mut self, head: &Head) {
        self.method = head.method();
        self.version = head.version();
        // RFC 9110 section 9.3.6: the bytes behind a CONNECT may be meant for a tunnel, which this server does not open.
        let persists = head.keep_alive() && self.method != Method::Connect;
        self.after = if persists { AfterResponse::KeepAlive } else { AfterResponse::Close };
        let framing = head.framing();
        let waits = head.expects_continue() && !framing.is_empty();
        let interim = if waits { Interim::Continue } else { Interim::None };
        self.state = State::Offered(Offer { framing, interim });
    }

    /// Says, after [`ReadEvent::Head`], that the caller wants the content, up to `limit` bytes of it. For a request without
    /// content nothing changes.
    ///
    /// # Errors
    /// 413 if the declared length is above the limit. Chunked content is measured as it comes in.
    pub fn read_body(&mut self, limit: u64) -> Result<(), Refusal> {
        let State::Offered(offer) = self.state else {
            debug_assert!(false, "no head was returned");
            return Ok(());
        };
        self.state = match Decoder::new(offer.framing, limit) {
            Ok(decoder) => State::Content(decoder, offer.interim),
            Err(refusal) => {
                self.state = State::Closed(MayFollow::Anything);
                return Err(refusal);
            }
        };
        Ok(())
    }

    /// Whether the client waits for an interim response before it sends the content that [`Conn::read_body`] asked for. The
    /// caller asks when [`Conn::receive`] needs input: as soon as a byte of the content is there, no interim response is owed.
    pub fn wants_continue(&self) -> bool {
        matches!(self.state, State::Content(_, Interim::Continue))
    }

    /// How far the reading has come.
    pub fn phase(&self) -> ReadPhase {
        match &self.state {
            State::Head(scan) if scan.is_untouched() => ReadPhase::Idle,
            State::Head(_) => ReadPhase::InHead,
            State::Offered(_) | State::Content(..) => ReadPhase::InBody,
            State::Handling => ReadPhase::Handling,
            State::Closed(_) => ReadPhase::Closed,
        }
    }

    /// Whether a client that keeps the rules has nothing more to send: the client asked for the close, and its last request was
    /// read whole. Then no lingering close is needed, because such a close protects the response from bytes that still arrive
    /// (RFC 9112 section 9.6).
    pub fn nothing_follows(&self) -> bool {
        matches!(self.state, State::Closed(MayFollow::Nothing))
    }

    /// Whether the last response has been encoded, and the request that it answers was read whole. The client may send
    /// further requests, but no rest of that request.
    pub fn is_answered_whole(&self) -> bool {
        matches!(self.state, State::Closed(MayFollow::Nothing | MayFollow::Requests))
    }

    /// The method of the request in progress. A request that was refused before its head was complete is
    /// [`Method::Head`] or [`Method::Other`], because only the answer to HEAD has no content.
    pub fn method(&self) -> Method {
        self.method
    }
}
