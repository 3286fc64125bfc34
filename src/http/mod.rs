//! The words of HTTP/1.1 that programs share with the server: methods, status codes, versions, and why a field of a response
//! is invalid.

// The other files of this folder are the HTTP core. The core is sans-IO: bytes go in, events and bytes come out. No type in
// this folder holds a socket, a thread or a lock, and no function asks for the time.
//
// `Conn` is the core's heart. The loop hands it what a client sent, and it says what the bytes mean; it also encodes the
// answers. It is strict: where RFC 9110 and RFC 9112 allow a recipient to repair a malformed message, it refuses the message,
// because the next parser in the chain might repair the message in another way.
//
// The feature `internals` opens the core for tests, fuzz targets and benchmarks. So its items are declared `pub`, but only
// `internals.rs` exports them.
#![cfg_attr(not(feature = "internals"), allow(unreachable_pub))]

mod authority;
mod body;
mod chunked;
pub(crate) mod conn;
pub(crate) mod encode;
mod field;
mod fields;
mod grammar;
pub(crate) mod head;
pub(crate) mod limits;
pub(crate) mod message;
mod parse;
pub(crate) mod refusal;
mod request_line;
pub(crate) mod response_parts;
mod scan;
mod status;
pub(crate) mod transfer;

pub use field::InvalidHeader;
pub use message::{Method, Version};
pub use status::StatusCode;

pub(crate) use conn::{AfterResponse, Conn, ReadEvent, ReadPhase, Received, ResponseOptions};
pub(crate) use encode::{body_is_separate, has_content};
pub(crate) use field::{CONTENT_TYPE, check_field, check_value};
pub(crate) use grammar::{is_path_byte, is_token};
pub(crate) use head::Head;
pub(crate) use limits::Limits;
pub(crate) use message::Framing;
pub(crate) use refusal::Refusal;
pub(crate) use response_parts::{ResponseContent, ResponseParts};
pub(crate) use transfer::Transfer;
