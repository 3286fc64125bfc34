//! The parts of an IP packet that the relay needs: the TCP ports, and whether the packet is a bare SYN.

/// The head of a TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) source: u16,
    pub(super) destination: u16,
    /// A SYN without an ACK: the first packet of a connection.
    pub(super) is_bare_syn: bool,
}

const TCP: u8 = 6;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

impl Segment {
    /// Returns `None` for a packet that is not TCP. Linux writes no IPv6 extension headers before TCP, so the parser
    /// expects none.
    pub(super) fn of(packet: &[u8]) -> Option<Segment> {
        let tcp = match packet.first()? >> 4 {
            4 if *packet.get(9)? == TCP => packet.get(usize::from(packet[0] & 0x0f) * 4..)?,
            6 if *packet.get(6)? == TCP => packet.get(40..)?,
            _ => return None,
        };
        let port = |at: usize| Some(u16::from_be_bytes([*tcp.get(at)?, *tcp.get(at + 1)?]));
        let flags = *tcp.get(13)?;
        Some(Segment { source: port(0)?, destination: port(2)?, is_bare_syn: flags & (SYN | ACK) == SYN })
    }
}

#[cfg(test)]
mod tests {
    use super::Segment;

    fn tcp(flags: u8) -> Vec<u8> {
        let mut segment = vec![0; 20];
        segment[..4].copy_from_slice(&[0x30, 0x39, 0x00, 0x50]);
        segment[13] = flags;
        segment
    }

    #[test]
    fn ports_and_flags_of_both_versions_of_ip() {
        let mut v4 = vec![0; 20];
        (v4[0], v4[9]) = (0x45, 6);
        let mut v6 = vec![0; 40];
        (v6[0], v6[6]) = (0x60, 6);
        for head in [v4, v6] {
            for (flags, is_bare_syn) in [(0x02, true), (0x12, false), (0x10, false), (0xc2, true)] {
                let packet = [head.clone(), tcp(flags)].concat();
                let expected = Segment { source: 12345, destination: 80, is_bare_syn };
                assert_eq!(Segment::of(&packet), Some(expected));
                for length in 0..head.len() + 14 {
                    assert_eq!(Segment::of(&packet[..length]), None, "{length} bytes");
                }
            }
        }
        let mut udp = vec![0; 60];
        (udp[0], udp[9]) = (0x45, 17);
        assert_eq!(Segment::of(&udp), None);
    }
}
