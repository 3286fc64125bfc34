//! What programs are written against: requests and responses, handlers and routes, and what stands around them.

pub mod events;
pub(crate) mod handler;
pub(crate) mod into_response;
pub mod middleware;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod router;
