//! The types that programs use: requests and responses, handlers and routes, wrappers and server-sent events.

pub mod events;
pub(crate) mod handler;
pub(crate) mod into_response;
pub mod middleware;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod router;
