//! How much of a request the HTTP core is willing to take in.

/// Upper bounds on one request message. Every one of them has a status code of its own, so that a client learns
/// which bound it met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the request target; a longer one is answered `414 URI Too Long`. Default 8192: RFC 9112 section 3
    /// recommends to accept request lines of at least 8000 octets, and intermediaries rarely pass more.
    pub target_bytes: usize,
    /// Bytes of the whole field section, and of a trailer section; a larger one is answered
    /// `431 Request Header Fields Too Large`. Default 32 KiB: twice Node's bound, the sum of nginx's large buffers.
    pub header_bytes: usize,
    /// Number of field lines; more are answered `431`. Default 128: browsers send
    /// some 20, and gateways add their own; hyper stops at 100.
    pub header_count: usize,
    /// Bytes of content of one request, after the transfer coding is removed; more is answered
    /// `413 Content Too Large`. Default 8 MiB: ample for API calls, too small to fill memory by accident.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            target_bytes: 8 * 1024,
            header_bytes: 32 * 1024,
            header_count: 128,
            body_bytes: 8 * 1024 * 1024,
        }
    }
}
