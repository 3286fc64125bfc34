//! What the process has inherited: signals that are ignored, as `nohup` has it, and signals that are blocked.
//!
//! Linux tells both in `/proc`. Where there is no `/proc`, nothing is known to be ignored or blocked.

use std::fs;

use super::Signal;

/// The signals of a mask of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mask(u64);

/// How the kernel treats signals for the calling thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dispositions {
    /// For the whole process.
    pub(super) ignored: Mask,
    /// For this thread, and for those that it starts.
    pub(super) blocked: Mask,
}

impl Dispositions {
    /// Of the calling thread.
    pub(super) fn of_this_thread() -> Dispositions {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Dispositions::parse(&status)
    }

    fn parse(status: &str) -> Dispositions {
        let mask = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name));
            Mask(value.and_then(|value| u64::from_str_radix(value.trim(), 16).ok()).unwrap_or_default())
        };
        Dispositions { ignored: mask("SigIgn:"), blocked: mask("SigBlk:") }
    }
}

impl Mask {
    pub(super) fn has(self, signal: Signal) -> bool {
        // Signals are numbered from 1.
        self.0 & 1 << (signal.number() - 1) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_masks_of_the_kernel_are_read() {
        let status = "Name:\tsoftstop\nSigBlk:\t0000000000004000\nSigIgn:\t0000000000001001\nSigCgt:\tff\n";
        let Dispositions { ignored, blocked } = Dispositions::parse(status);
        assert!(
            ignored.has(Signal::Hangup) && !ignored.has(Signal::Interrupt) && !ignored.has(Signal::Terminate)
        );
        assert!(blocked.has(Signal::Terminate) && !blocked.has(Signal::Hangup));
    }

    #[test]
    fn what_is_not_told_is_neither_ignored_nor_blocked() {
        for status in ["", "SigIgn:\n", "SigIgn:\tnonsense\nSigBlk:"] {
            assert_eq!(Dispositions::parse(status), Dispositions::default());
        }
    }
}
