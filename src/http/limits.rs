//! How much of a request the HTTP core takes in.

/// Upper bounds on one request message.
///
/// Each bound has a status code of its own, so that a client learns which bound it met. A value is set by the method of
/// its name, and read by that method with `get_` in front.
///
/// | bound | default | a request beyond it |
/// | --- | --- | --- |
/// | [`target_bytes`](Limits::target_bytes) | 8 KiB | 414 URI Too Long |
/// | [`header_bytes`](Limits::header_bytes) | 32 KiB | 431 Request Header Fields Too Large |
/// | [`header_count`](Limits::header_count) | 128 | 431 Request Header Fields Too Large |
/// | [`body_bytes`](Limits::body_bytes) | 8 MiB | 413 Content Too Large |
///
/// ```
/// use softstop::Limits;
///
/// let limits = Limits::default().body_bytes(1024);
/// assert_eq!(limits.get_body_bytes(), 1024);
/// assert_eq!(limits.get_header_count(), 128);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    pub(crate) target_bytes: usize,
    pub(crate) header_bytes: usize,
    pub(crate) header_count: usize,
    pub(crate) body_bytes: u64,
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

impl Limits {
    /// The most bytes of the request target, at least 1, because no target is empty. A longer target is answered
    /// `414 URI Too Long`.
    ///
    /// Default 8192, because RFC 9112 section 3 recommends to accept request lines of at least 8000 octets, and
    /// intermediaries rarely pass more.
    #[must_use]
    pub fn target_bytes(self, target_bytes: usize) -> Self {
        Limits { target_bytes: target_bytes.max(1), ..self }
    }

    /// The most bytes of the whole field section, and of a trailer section. A larger section is answered
    /// `431 Request Header Fields Too Large`.
    ///
    /// Default 32 KiB: twice the bound of Node, and the sum of nginx's large buffers.
    #[must_use]
    pub fn header_bytes(self, header_bytes: usize) -> Self {
        Limits { header_bytes, ..self }
    }

    /// The most field lines. More are answered `431`.
    ///
    /// Default 128: browsers send some 20, and gateways add their own. hyper stops at 100.
    #[must_use]
    pub fn header_count(self, header_count: usize) -> Self {
        Limits { header_count, ..self }
    }

    /// The most bytes of one request's content, after the transfer coding is removed. More are answered
    /// `413 Content Too Large`. With 0, only requests without content are taken. A [`streamed`](crate::routing::Route::streamed) route
    /// has no such bound unless its route sets one.
    ///
    /// Default 8 MiB: ample for calls of an API, and too small to fill the memory by accident.
    #[must_use]
    pub fn body_bytes(self, body_bytes: u64) -> Self {
        Limits { body_bytes, ..self }
    }

    /// The value of [`target_bytes`](Limits::target_bytes).
    #[must_use]
    pub fn get_target_bytes(&self) -> usize {
        self.target_bytes
    }

    /// The value of [`header_bytes`](Limits::header_bytes).
    #[must_use]
    pub fn get_header_bytes(&self) -> usize {
        self.header_bytes
    }

    /// The value of [`header_count`](Limits::header_count).
    #[must_use]
    pub fn get_header_count(&self) -> usize {
        self.header_count
    }

    /// The value of [`body_bytes`](Limits::body_bytes).
    #[must_use]
    pub fn get_body_bytes(&self) -> u64 {
        self.body_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setter_sets_the_value_of_its_name_alone() {
        let all = |limits: &Limits| {
            let sizes = [limits.get_target_bytes(), limits.get_header_bytes(), limits.get_header_count()];
            (sizes, limits.get_body_bytes())
        };
        let (sizes, body) = all(&Limits::default());
        let setters = [Limits::target_bytes, Limits::header_bytes, Limits::header_count];
        for (position, set) in setters.into_iter().enumerate() {
            let mut expected = sizes;
            expected[position] = 7;
            assert_eq!(all(&set(Limits::default(), 7)), (expected, body));
        }
        assert_eq!(all(&Limits::default().body_bytes(7)), (sizes, 7));
        assert_eq!(all(&Limits::default().target_bytes(0).body_bytes(0)), ([1, sizes[1], sizes[2]], 0));
    }
}
