//! Answers to the request in progress, and what each of them means for the connection.

use super::super::{Method, ResponseParts, StatusCode, Transfer, encode};
use super::{Conn, Interim, MayFollow, Scan, State};

/// What the loop adds to a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseOptions<'a> {
    /// The value of the Date field, an IMF-fixdate (RFC 9110 section 5.6.7).
    pub date: &'a [u8],
    /// Whether the server wants to close the connection after this response.
    pub close: bool,
}

/// What becomes of the connection after a response was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterResponse {
    /// The connection waits for the next request.
    KeepAlive,
    /// The connection closes; the response said so.
    Close,
}

impl Conn {
    /// Encodes the interim response that is owed, if one is (RFC 9110 section 15.2.1).
    pub fn write_continue(&mut self, out: &mut Vec<u8>) {
        if let State::Content(_, interim @ Interim::Continue) = &mut self.state {
            *interim = Interim::None;
            out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// Encodes the final response to the request in progress: appends the head to `out`, and the content, with two exceptions.
    /// The caller sends a content that [is separate](encode::body_is_separate), and a stream, as [`Conn::transfer`] says.
    ///
    /// A response before [`ReadEvent::End`](super::ReadEvent::End) closes the connection, because the rest of the request cannot
    /// be told from the next request. After 101 nothing is read any more, and the connection is the caller's.
    pub fn respond(
        &mut self,
        response: &ResponseParts<'_>,
        options: ResponseOptions<'_>,
        out: &mut Vec<u8>,
    ) -> AfterResponse {
        let is_complete = match &self.state {
            State::Offered(offer) => offer.framing.is_empty(),
            State::Handling => true,
            State::Head(_) | State::Content(..) | State::Closed(_) => false,
        };
        if response.status == StatusCode::SWITCHING_PROTOCOLS {
            encode::response(response, (self.method, self.version), AfterResponse::KeepAlive, options, out);
            self.state = State::Closed(MayFollow::Anything);
            return AfterResponse::KeepAlive;
        }
        let persists = is_complete && !options.close && self.transfer(response) != Some(Transfer::UntilClose);
        let after = if persists { self.after } else { AfterResponse::Close };
        encode::response(response, (self.method, self.version), after, options, out);
        self.state = match after {
            AfterResponse::KeepAlive => State::Head(Scan::START),
            AfterResponse::Close if is_complete => State::Closed(self.may_follow()),
            AfterResponse::Close => State::Closed(MayFollow::Anything),
        };
        after
    }

    /// What may follow the request in progress, which was read whole, if the connection closes after it.
    fn may_follow(&self) -> MayFollow {
        match self.after {
            _ if self.method == Method::Connect => MayFollow::Anything,
            AfterResponse::Close => MayFollow::Nothing,
            AfterResponse::KeepAlive => MayFollow::Requests,
        }
    }

    /// How the caller sends the content of that response to the request in progress, if the content is a stream. `None` if the
    /// content is in memory, or the client wants none. The caller asks before [`Conn::respond`].
    pub fn transfer(&self, response: &ResponseParts<'_>) -> Option<Transfer> {
        encode::transfer(response, self.method, self.version)
    }

    /// Encodes the answer to a refusal: to one that [`Conn::receive`] or [`Conn::read_body`] returned, or to one of the caller's
    /// own. The connection closes after it. The content must be in memory. It is encoded, too, unless it
    /// [is separate](encode::body_is_separate).
    pub fn refuse(&mut self, response: &ResponseParts<'_>, options: ResponseOptions<'_>, out: &mut Vec<u8>) {
        encode::response(response, (self.method, self.version), AfterResponse::Close, options, out);
        self.state = State::Closed(MayFollow::Anything);
    }
}
