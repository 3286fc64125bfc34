//! Bytes of a stream become lines. A stream socket may deliver a line in pieces, or several lines at once, so the result must
//! not depend on how the bytes are cut.

use super::Garbage;

/// The longest line, its newline included. The longest message of the protocol is a listener with its name and its address.
pub(crate) const LONGEST_LINE: usize = 4096;

/// Splits bytes into lines. Holds at most [`LONGEST_LINE`] bytes of a line that has not ended.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// Takes bytes in, as they come.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Takes the next whole line out, without its newline. `Ok(None)` if the line has not ended.
    ///
    /// # Errors
    ///
    /// If the line is too long, or if it is not printable ASCII. The caller then gives up the connection.
    pub(crate) fn take(&mut self) -> Result<Option<String>, Garbage> {
        let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') else {
            return match self.buffer.len() < LONGEST_LINE && is_printable(&self.buffer) {
                true => Ok(None),
                false => Err(Garbage::new("a line of printable ASCII, of at most 4096 bytes")),
            };
        };
        let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
        match String::from_utf8(line) {
            Ok(line) if end < LONGEST_LINE && is_printable(line.as_bytes()) => Ok(Some(line)),
            _ => Err(Garbage::new("a line of printable ASCII, of at most 4096 bytes")),
        }
    }

    /// Whether every byte belongs to a line that was taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}

fn is_printable(line: &[u8]) -> bool {
    line.iter().all(|byte| (b' '..=b'~').contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"softstop/1 takeover pid=1\nready control=1 taken=0,1\n\nlast\n";

    fn all(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut taken = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.take().unwrap() {
                taken.push(line);
            }
        }
        assert!(lines.is_empty());
        taken
    }

    #[test]
    fn every_split_gives_the_same_lines() {
        let whole = all(&[STREAM]);
        assert_eq!(whole, ["softstop/1 takeover pid=1", "ready control=1 taken=0,1", "", "last"]);
        for at in 0..=STREAM.len() {
            let (head, tail) = STREAM.split_at(at);
            assert_eq!(all(&[head, tail]), whole, "split at {at}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(all(&bytes), whole, "byte by byte");
    }

    #[test]
    fn a_line_has_a_longest_length_with_and_without_its_end() {
        let longest = [vec![b'x'; LONGEST_LINE - 1], vec![b'\n']].concat();
        assert_eq!(all(&[&longest])[0].len(), LONGEST_LINE - 1);
        for too_long in [vec![b'x'; LONGEST_LINE], [vec![b'x'; LONGEST_LINE], vec![b'\n']].concat()] {
            let mut lines = Lines::default();
            lines.push(&too_long);
            assert!(lines.take().is_err());
        }
    }

    #[test]
    fn other_bytes_than_printable_ascii_are_refused_before_the_line_ends() {
        for bad in [&b"\0"[..], b"\r\n", b"\xff", "ä\n".as_bytes(), b"\x1b[0m"] {
            let mut lines = Lines::default();
            lines.push(bad);
            assert!(lines.take().is_err(), "{bad:?}");
        }
    }
}
