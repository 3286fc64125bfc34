//! What carries a running server: its sockets and loops, its worker threads, and what these share.

pub(crate) mod net;
pub(crate) mod pool;
pub(crate) mod run;
