//! Sans-IO HTTP/1.1: bytes go in, events and bytes come out. No socket, no thread and no clock in here.
//!
//! [`Conn`] is the heart: it is handed what a peer sent and says what that means, and it encodes the answers. It is
//! strict in what it reads: where RFC 9110 and RFC 9112 allow a recipient to repair a malformed message, it refuses
//! the message instead, because the next parser in the chain might repair it in another way.
//!
//! ```
//! use softstop::{IntoResponse, http::{Conn, Event, Head, Limits, Respond}};
//!
//! let (mut connection, mut head, limits) = (Conn::new(), Head::default(), Limits::default());
//! let input = b"GET /?name=Ada HTTP/1.1\r\nHost: example.org\r\n\r\n";
//!
//! let received = connection.receive(input, &mut head, &limits).unwrap();
//! assert_eq!((received.event, received.consumed), (Event::Head, input.len()));
//! assert_eq!((head.path(), head.query()), ("/", Some("name=Ada")));
//! assert_eq!(connection.receive(b"", &mut head, &limits).unwrap().event, Event::End);
//!
//! let mut out = Vec::new();
//! let options = Respond { date: b"Sun, 06 Nov 1994 08:49:37 GMT", close: false };
//! connection.respond(&"Hello, Ada!".into_response().parts(), options, &mut out);
//! assert!(out.starts_with(b"HTTP/1.1 200 OK\r\n") && out.ends_with(b"\r\n\r\nHello, Ada!"));
//! ```

mod authority;
mod body;
mod chunked;
mod conn;
mod encode;
mod fields;
pub(crate) mod grammar;
mod head;
mod limits;
mod message;
mod parse;
mod refusal;
mod request_line;
mod response_parts;
mod scan;
mod status;
mod transfer;

pub use conn::{After, Conn, Event, ReadPhase, Received, Respond};
pub(crate) use encode::has_content;
pub use encode::{LARGE_BODY, body_is_separate};
pub(crate) use grammar::is_path_byte;
pub use head::Head;
pub use limits::Limits;
pub use message::{Framing, Method, Version};
pub use refusal::Refusal;
pub use response_parts::{Content, ResponseParts};
pub use status::StatusCode;
pub use transfer::Transfer;
