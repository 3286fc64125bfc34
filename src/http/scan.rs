//! When it is worth another look at a section that was incomplete the last time.

/// Up to this length an incomplete section is looked at again whenever it grew, so that garbage is refused at once.
const EAGER_BYTES: usize = 128;

/// What is known of an incomplete head or trailer section. Its bytes stay with the caller and come again with more
/// behind them; to parse them all for every byte that arrives would take quadratic time. What can change the outcome
/// is a control character, be it the one that ends a line or one that is not allowed, or the reaching of a bound.
/// Both are rare: two characters a line, and as many lines as the limits admit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    /// Bytes that were there the last time.
    seen: usize,
    /// Length at which a limit is reached.
    bound: usize,
}

impl Scan {
    /// The state before the first look.
    pub(super) const START: Scan = Scan { seen: 0, bound: 0 };

    /// The state after a look at so many bytes.
    pub(super) fn incomplete(seen: usize, bound: usize) -> Self {
        Scan { seen, bound }
    }

    /// Whether nothing was there the last time.
    pub(super) fn is_untouched(self) -> bool {
        self.seen == 0
    }

    /// Whether the section may have got another outcome. If not, the new bytes are noted as seen.
    pub(super) fn is_due(&mut self, section: &[u8]) -> bool {
        // The last byte seen is looked at again: what follows a CR decides about it.
        let unseen = section.get(self.seen.saturating_sub(1)..).unwrap_or(section);
        let due = self.seen == 0
            || section.len() <= EAGER_BYTES
            || section.len() >= self.bound
            || unseen.iter().any(|&byte| byte.is_ascii_control() && byte != b'\t');
        if !due {
            self.seen = section.len();
        }
        due
    }
}
