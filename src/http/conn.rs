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

use std::ops::Range;

use super::body::Decoder;
use super::parse::{self, Parsed};
use super::scan::Scan;
use super::{Framing, Head, Limits, Method, Refusal, ResponseParts, StatusCode, Transfer, Version, encode};

/// The state of one connection (RFC 9112). It holds no bytes: what it could not consume yet stays with the caller.
///
/// ```
/// use softstop::{IntoResponse, http::{After, Conn, Event, Head, Limits, Respond}};
///
/// let (mut connection, mut head, limits) = (Conn::new(), Head::default(), Limits::default());
/// let mut input = &b"POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"[..];
/// let (mut body, mut out) = (Vec::new(), Vec::new());
/// let after = loop {
///     let received = connection.receive(input, &mut head, &limits)?;
///     match received.event {
///         Event::Head => connection.read_body(limits.get_body_bytes())?,
///         Event::Data(range) => body.extend_from_slice(&input[range]),
///         Event::NeedInput => unreachable!("the request is complete"),
///         Event::End => {
///             let options = Respond { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: false };
///             break connection.respond(&body.into_response().parts(), options, &mut out);
///         }
///     }
///     input = &input[received.consumed..];
/// };
/// assert_eq!(after, After::Close, "the client did not ask for the connection to persist");
/// assert!(out.ends_with(b"\r\n\r\nhello"));
/// # Ok::<(), softstop::http::Refusal>(())
/// ```
#[derive(Debug)]
pub struct Conn {
    state: State,
    /// Of the request in progress, as far as the answer depends on it.
    method: Method,
    version: Version,
    after: After,
}

#[derive(Debug)]
enum State {
    /// No complete head is there yet.
    Head(Scan),
    /// The head was returned; nobody said yet whether the content is wanted.
    Offered(Offer),
    /// The content is coming in.
    Content(Decoder, Interim),
    /// The request is complete; a response is owed.
    Handling,
    /// The last response is encoded; what still arrives is of no consequence.
    Closed(Rest),
}

/// What may still arrive on a connection that is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Anything,
    /// The last request has been read whole, and the client has not said that it was the last: further requests.
    Requests,
    /// The client has said that its last request was the last, and has sent it whole: RFC 9112 section 9.6 has it send
    /// nothing more.
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
    /// How many bytes of the input are done with. The rest is to be presented again.
    pub consumed: usize,
    /// What they meant.
    pub event: Event,
}

/// One step of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is nothing more to be said about these bytes until others follow them.
    NeedInput,
    /// A head is complete. [`Conn::read_body`] is next, or an early response.
    Head,
    /// A part of the content: that range of the input.
    Data(Range<usize>),
    /// The request is complete. A response is next.
    End,
}

/// How to respond.
#[derive(Debug, Clone, Copy)]
pub struct Respond<'a> {
    /// The value of the Date field, an IMF-fixdate (RFC 9110 section 5.6.7).
    pub date: &'a [u8],
    /// Whether the server wants to close the connection after this response.
    pub close: bool,
}

/// What becomes of the connection after a response was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    /// It awaits the next request.
    KeepAlive,
    /// It is closed; the response said so.
    Close,
}

/// How far the reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadPhase {
    /// Between requests: of the next one not a byte has been seen, but for empty lines before it.
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
            after: After::Close,
        }
    }

    /// Takes one step over `input`: the bytes that were received and not consumed yet, from the first of them on. It
    /// is to be called again with the rest until it returns [`Event::NeedInput`], and then when there are more bytes.
    ///
    /// An incomplete head or trailer section is not consumed at all. The caller's buffer must be able to hold one as
    /// large as the limits allow, which is `target_bytes + header_bytes + 64`.
    ///
    /// [`Event::Head`] fills `head`, which stays untouched until the next request begins to arrive. A request
    /// without content goes on with [`Event::End`] at once, even for an empty `input`; one with content rests until
    /// [`Conn::read_body`] is called. While a response is owed, this must not be called. After the connection's last
    /// response it consumes and ignores everything.
    ///
    /// # Errors
    /// If the peer broke a rule. The connection is [`ReadPhase::Closed`] then, and [`Conn::refuse`] encodes the
    /// answer.
    pub fn receive(&mut self, input: &[u8], head: &mut Head, limits: &Limits) -> Result<Received, Refusal> {
        match self.step(input, head, limits) {
            Err(refusal) => {
                self.state = State::Closed(Rest::Anything);
                Err(refusal)
            }
            received => received,
        }
    }

    fn step(&mut self, input: &[u8], head: &mut Head, limits: &Limits) -> Result<Received, Refusal> {
        let need_input = |consumed| Ok(Received { consumed, event: Event::NeedInput });
        match &mut self.state {
            State::Head(scan) => {
                if input.is_empty() || !scan.is_due(input) {
                    return need_input(0);
                }
                self.receive_head(input, head, limits)
            }
            State::Offered(offer) if offer.framing.is_empty() => {
                self.state = State::Handling;
                Ok(Received { consumed: 0, event: Event::End })
            }
            State::Offered(_) => need_input(0),
            State::Content(decoder, interim) => {
                if !input.is_empty() {
                    // The client does not wait, or no longer.
                    *interim = Interim::None;
                }
                let received = decoder.receive(input, limits)?;
                if received.event == Event::End {
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
            return Ok(Received { consumed, event: Event::Head });
        }
        // A refusal may be all the answer there will be, and the answer to HEAD has no content.
        let is_head_request = input.trim_ascii_start().starts_with(b"HEAD ");
        self.method = if is_head_request { Method::Head } else { Method::Other };
        self.version = Version::Http11;
        if let Parsed::Incomplete(scan) = parsed? {
            self.state = State::Head(scan);
        }
        Ok(Received { consumed: 0, event: Event::NeedInput })
    }

    fn begin(&mut self, head: &Head) {
        self.method = head.method();
        self.version = head.version();
        // RFC 9110 section 9.3.6: what follows a CONNECT may be meant for a tunnel that is not there.
        let persists = head.keep_alive() && self.method != Method::Connect;
        self.after = if persists { After::KeepAlive } else { After::Close };
        let framing = head.framing();
        let waits = head.expects_continue() && !framing.is_empty();
        let interim = if waits { Interim::Continue } else { Interim::None };
        self.state = State::Offered(Offer { framing, interim });
    }

    /// Says, after [`Event::Head`], that the content is wanted, up to `limit` bytes of it. Nothing happens to a
    /// request that has none.
    ///
    /// # Errors
    /// 413 if the declared length is above the limit; chunked content is measured as it comes in.
    pub fn read_body(&mut self, limit: u64) -> Result<(), Refusal> {
        let State::Offered(offer) = self.state else {
            debug_assert!(false, "no head was returned");
            return Ok(());
        };
        self.state = match Decoder::new(offer.framing, limit) {
            Ok(decoder) => State::Content(decoder, offer.interim),
            Err(refusal) => {
                self.state = State::Closed(Rest::Anything);
                return Err(refusal);
            }
        };
        Ok(())
    }

    /// Whether the client waits for an interim response before it sends the content that [`Conn::read_body`] asked
    /// for. To be asked when [`Conn::receive`] needs input: as soon as a byte of the content is there, none is owed.
    pub fn wants_continue(&self) -> bool {
        matches!(self.state, State::Content(_, Interim::Continue))
    }

    /// Encodes the interim response that is owed, if one is (RFC 9110 section 15.2.1).
    pub fn write_continue(&mut self, out: &mut Vec<u8>) {
        if let State::Content(_, interim @ Interim::Continue) = &mut self.state {
            *interim = Interim::None;
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Encodes the final response to the request in progress: appends its head to `out` and, unless
    /// [`body_is_separate`](super::body_is_separate), its content; content that is a stream is the caller's to send, as
    /// [`Conn::transfer`] says. A response before [`Event::End`] closes the
    /// connection, for the rest of the request cannot be told from the next one. After 101 nothing is read any more, and
    /// the connection is the caller's.
    pub fn respond(
        &mut self,
        response: &ResponseParts<'_>,
        options: Respond<'_>,
        out: &mut Vec<u8>,
    ) -> After {
        let complete = match &self.state {
            State::Offered(offer) => offer.framing.is_empty(),
            State::Handling => true,
            State::Head(_) | State::Content(..) | State::Closed(_) => false,
        };
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            encode::response(response, (self.method, self.version), After::KeepAlive, options, out);
            self.state = State::Closed(Rest::Anything);
            return After::KeepAlive;
        }
        let persists = complete && !options.close && self.transfer(response) != Some(Transfer::UntilClose);
        let after = if persists { self.after } else { After::Close };
        encode::response(response, (self.method, self.version), after, options, out);
        self.state = match after {
            After::KeepAlive => State::Head(Scan::START),
            After::Close => State::Closed(self.rest(complete)),
        };
        after
    }

    /// What may follow the request in progress once its connection is done with.
    fn rest(&self, complete: bool) -> Rest {
        match self.after {
            _ if !complete || self.method == Method::Connect => Rest::Anything,
            After::Close => Rest::Nothing,
            After::KeepAlive => Rest::Requests,
        }
    }

    /// How the content of that response to the request in progress is to be sent behind its head, if it is a stream; none
    /// if the client does not want any. To be asked before [`Conn::respond`].
    pub fn transfer(&self, response: &ResponseParts<'_>) -> Option<Transfer> {
        encode::transfer(response, self.method, self.version)
    }

    /// Encodes the answer to a refusal, be it one of [`Conn::receive`] and [`Conn::read_body`] or the caller's own.
    /// The connection is closed after it.
    pub fn refuse(&mut self, refusal: &Refusal, options: Respond<'_>, out: &mut Vec<u8>) {
        self.refuse_with(&refusal.parts(), options, out);
    }

    /// Encodes an answer of the caller's own in the place of that of [`Conn::refuse`], with its content unless
    /// [`body_is_separate`](super::body_is_separate). The content must be in memory.
    pub fn refuse_with(&mut self, response: &ResponseParts<'_>, options: Respond<'_>, out: &mut Vec<u8>) {
        encode::response(response, (self.method, self.version), After::Close, options, out);
        self.state = State::Closed(Rest::Anything);
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

    /// Whether the client, as far as it keeps the rules, has nothing more to send: it asked for the close, and its last
    /// request is there, whole. A lingering close is to protect the response from what would still arrive (RFC 9112
    /// section 9.6), so none is needed as long as it does keep them.
    pub fn nothing_follows(&self) -> bool {
        matches!(self.state, State::Closed(Rest::Nothing))
    }

    /// Whether the last response has been encoded, and the request that it answers has been read whole. What may follow are
    /// requests, and none that is under way already.
    pub fn is_answered_whole(&self) -> bool {
        matches!(self.state, State::Closed(Rest::Nothing | Rest::Requests))
    }

    /// Whether the request in progress is a HEAD request, whose answer has no content.
    pub fn is_head_request(&self) -> bool {
        self.method == Method::Head
    }
}
