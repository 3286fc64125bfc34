//! Finds the end of a chunked content (RFC 9112 section 7.1).

use super::Malformed;

/// The most bytes of all extensions and trailers of one response. No useful response has more.
const OVERHEAD: u16 = 16 * 1024;
/// Hexadecimal digits of a size that fits in 64 bits.
const DIGITS: u8 = 16;

#[derive(Debug)]
pub(super) struct Chunked {
    position: Position,
    overhead: u16,
}

#[derive(Debug, Clone, Copy)]
enum Position {
    Size { digits: u8, size: u64 },
    Extension { size: u64 },
    SizeLineFeed { size: u64 },
    Data { left: u64 },
    DataReturn,
    DataLineFeed,
    TrailerStart,
    Trailer,
    TrailerLineFeed,
    LastLineFeed,
}

impl Chunked {
    pub(super) fn new() -> Chunked {
        Chunked { position: Position::Size { digits: 0, size: 0 }, overhead: 0 }
    }

    /// Takes from the front of `input` until the content has ended or nothing is left, and gives the data to `data`. Returns
    /// whether the content has ended.
    pub(super) fn read(&mut self, input: &mut &[u8], mut data: impl FnMut(&[u8])) -> Result<bool, Malformed> {
        while let [byte, rest @ ..] = *input {
            if let Position::Data { left } = &mut self.position {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                data(&input[..count]);
                *input = &input[count..];
                *left -= count as u64;
                if *left == 0 {
                    self.position = Position::DataReturn;
                }
                continue;
            }
            *input = rest;
            if matches!((self.position, byte), (Position::LastLineFeed, b'\n')) {
                return Ok(true);
            }
            self.position = self.next(*byte)?;
        }
        Ok(false)
    }

    fn next(&mut self, byte: u8) -> Result<Position, Malformed> {
        if matches!(self.position, Position::Extension { .. } | Position::Trailer) {
            self.overhead += 1;
            if self.overhead > OVERHEAD {
                return Err(Malformed("more than 16 KiB of chunk extensions and trailers"));
            }
        }
        Ok(match (self.position, byte) {
            (Position::Size { digits: 1.., size }, b'\r') => Position::SizeLineFeed { size },
            (Position::Size { digits: 1.., size }, b';') => Position::Extension { size },
            (Position::Size { digits, size }, _) if digits < DIGITS => {
                let digit =
                    char::from(byte).to_digit(16).ok_or(Malformed("a chunk size that is no number"))?;
                Position::Size { digits: digits + 1, size: size << 4 | u64::from(digit) }
            }
            (Position::Extension { size }, b'\r') => Position::SizeLineFeed { size },
            (Position::Extension { .. }, byte) if byte != b'\n' => self.position,
            (Position::SizeLineFeed { size: 0 }, b'\n') => Position::TrailerStart,
            (Position::SizeLineFeed { size }, b'\n') => Position::Data { left: size },
            (Position::DataReturn, b'\r') => Position::DataLineFeed,
            (Position::DataLineFeed, b'\n') => Position::Size { digits: 0, size: 0 },
            (Position::TrailerStart, b'\r') => Position::LastLineFeed,
            (Position::TrailerStart, byte) if byte != b'\n' => Position::Trailer,
            (Position::Trailer, b'\r') => Position::TrailerLineFeed,
            (Position::Trailer, byte) if byte != b'\n' => Position::Trailer,
            (Position::TrailerLineFeed, b'\n') => Position::TrailerStart,
            _ => return Err(Malformed("chunks that are not as RFC 9112 has them")),
        })
    }
}
