//! The signal dispositions that the process has inherited: signals that are ignored (for instance by `nohup`), and signals that
//! are blocked.
//!
//! Linux shows both in `/proc` (proc_pid_status(5)). Where there is no `/proc`, all signals count as neither ignored nor blocked.

use std::fs;

use super::Signal;

/// A set of signals, as a mask of the kernel: bit 0 is signal 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mask(u64);

/// How the kernel treats signals for the calling thread.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Dispositions {
    /// The signals that the whole process ignores.
    pub(super) ignored: Mask,
    /// The signals that are blocked for this thread, and for the threads that it starts.
    pub(super) blocked: Mask,
}

impl Dispositions {
    /// Reads the dispositions of the calling thread.
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
        // Signal numbers begin with 1.
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
