//! Contents, and connections that are handed over.

pub(crate) mod pipe;
pub(crate) mod stream;
pub(crate) mod upgrade;
