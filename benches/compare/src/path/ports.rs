//! Ports of clients that have vanished. The relay drops the packets of these ports in both directions. The server
//! therefore sees the same as when a client's machine loses its link.

use std::sync::atomic::{AtomicU8, Ordering};

use super::packet::Segment;

/// The packets of a port that the relay drops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The relay drops every packet.
    Now,
    /// The relay forwards the client's next SYN and drops everything after it, so the handshake stays half open.
    AfterSyn,
}

const OPEN: u8 = 0;
const AFTER_SYN: u8 = 1;
const NOW: u8 = 2;

/// One state for each port. The relay reads a state for each packet, so the states are atomics without a lock.
#[derive(Debug)]
pub struct Ports(Box<[AtomicU8]>);

impl Default for Ports {
    fn default() -> Ports {
        Ports((0..=u16::MAX).map(|_| AtomicU8::new(OPEN)).collect())
    }
}

impl Ports {
    /// Silences the port of a client.
    pub fn silence(&self, port: u16, silence: Silence) {
        let state = match silence {
            Silence::Now => NOW,
            Silence::AfterSyn => AFTER_SYN,
        };
        self.of(port).store(state, Ordering::Release);
    }

    /// Forwards everything again.
    pub fn open_all(&self) {
        self.0.iter().for_each(|state| state.store(OPEN, Ordering::Release));
    }

    /// Whether the relay should forward a segment from a client.
    pub(super) fn lets_out(&self, segment: Segment) -> bool {
        let state = self.of(segment.source);
        match state.load(Ordering::Acquire) {
            OPEN => true,
            AFTER_SYN if segment.is_bare_syn => {
                state.store(NOW, Ordering::Release);
                true
            }
            _ => false,
        }
    }

    /// Whether the relay should forward a segment to a client.
    pub(super) fn lets_in(&self, segment: Segment) -> bool {
        self.of(segment.destination).load(Ordering::Acquire) == OPEN
    }

    fn of(&self, port: u16) -> &AtomicU8 {
        &self.0[usize::from(port)]
    }
}

#[cfg(test)]
mod tests {
    use super::{Ports, Segment, Silence};

    #[test]
    fn one_syn_passes_and_nothing_after_it() {
        let ports = Ports::default();
        let out = |is_bare_syn| Segment { source: 7, destination: 80, is_bare_syn };
        let into = Segment { source: 80, destination: 7, is_bare_syn: false };
        assert!(ports.lets_out(out(false)) && ports.lets_in(into));
        ports.silence(7, Silence::AfterSyn);
        assert!(!ports.lets_in(into));
        assert!(ports.lets_out(out(true)));
        assert!(!ports.lets_out(out(true)) && !ports.lets_out(out(false)) && !ports.lets_in(into));
        ports.open_all();
        assert!(ports.lets_out(out(false)));
        ports.silence(7, Silence::Now);
        assert!(!ports.lets_out(out(true)));
    }
}
