//! When a section that was incomplete is parsed again.

/// Up to this length an incomplete section is parsed whenever it has grown, so that garbage is refused at once.
const EAGER_BYTES: usize = 128;

/// How much of an incomplete head or trailer section has been parsed.
///
/// The caller keeps the bytes of the section and presents them again with more behind them. If all of them were parsed for every
/// byte that arrives, the time would be quadratic. Two things can change the outcome:
///
/// - a control character: one that ends a line, or one that is not allowed;
/// - the section reaches a limit.
///
/// Both are rare: a line has two control characters, and the limits bound the number of lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scan {
    /// The length of the section when it was last looked at.
    seen: usize,
    /// The length at which the section reaches a limit.
    bound: usize,
}

impl Scan {
    /// The state before the first byte.
    pub(super) const START: Scan = Scan { seen: 0, bound: 0 };

    /// The state after `seen` bytes were parsed.
    pub(super) fn incomplete(seen: usize, bound: usize) -> Self {
        Scan { seen, bound }
    }

    /// Whether no byte of the section has been seen.
    pub(super) fn is_untouched(self) -> bool {
        self.seen == 0
    }

    /// Whether the section has to be parsed again. If not, the new bytes are noted as seen.
    pub(super) fn is_due(&mut self, section: &[u8]) -> bool {
        // The last byte seen is included: a CR is valid or not by the byte that follows it.
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
